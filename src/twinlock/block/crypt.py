"""The encrypted payload of a container, as a device of its own.

Every request becomes one native call of the cipher and one request below.
Ciphertext is made in fresh memory, so a caller's data is never changed.
"""

from typing import Protocol

from typing_extensions import Buffer

from twinlock.block.device import BlockDevice
from twinlock.block.section import Section
from twinlock.errors import DeviceGone
from twinlock.units import SECTOR


class Cipher(Protocol):
    """What :class:`CryptDevice` needs of :class:`twinlock.native.SectorCipher`; tests have their own."""

    def encrypt(self, data: Buffer, sector512: int) -> Buffer:
        """The ciphertext of whole sectors, the first at ``sector512`` (in units of 512 bytes)."""

    def decrypt(self, data: Buffer, sector512: int) -> Buffer:
        """The plaintext of whole sectors."""

    def close(self) -> None:
        """Wipe the keys."""


class CryptDevice(BlockDevice):
    """``size`` bytes of payload that lie at ``payload_offset`` of ``lower``, in sectors of ``sector_size``.

    Sectors are numbered from the start of the payload, in units of 512 bytes (as dm-crypt does).
    """

    def __init__(
        self, lower: BlockDevice, cipher: Cipher, payload_offset: int, sector_size: int, size: int
    ) -> None:
        if sector_size % lower.block_size or payload_offset % lower.block_size:
            raise ValueError(f"sectors of {sector_size} bytes do not fit blocks of {lower.block_size}")
        self._lower = lower
        self._payload_offset = payload_offset
        self._cipher = cipher
        self._closed = False
        self.block_size = sector_size
        self.size = 0
        self.resize(size)

    def resize(self, size: int) -> None:
        """The payload has ``size`` bytes from now on; it only becomes larger."""
        if self._payload_offset + size > self._lower.size:
            raise ValueError(
                f"a payload of {size} bytes at {self._payload_offset} ends beyond {self._lower.size}"
            )
        if size % self.block_size or size < self.size:
            raise ValueError(f"a payload of {self.size} bytes cannot become one of {size}")
        self._payload = Section(self._lower, self._payload_offset, size)
        self.size = size

    def read(self, offset: int, length: int) -> Buffer:
        """``length`` decrypted bytes from ``offset``."""
        self.check_range(offset, length)
        return self._cipher.decrypt(self._payload.read(offset, length), offset // SECTOR)

    def read_nowait(self, offset: int, length: int) -> Buffer | None:
        """As :meth:`read`, but None if the lower device would wait."""
        self.check_range(offset, length)
        data = self._payload.read_nowait(offset, length)
        return None if data is None else self._cipher.decrypt(data, offset // SECTOR)

    def read_medium(self, offset: int, length: int) -> Buffer:
        """As :meth:`read`, from the medium."""
        self.check_range(offset, length)
        return self._cipher.decrypt(self._payload.read_medium(offset, length), offset // SECTOR)

    def prefetch(self, offset: int, length: int) -> None:
        """As below: ciphertext is what is kept ready."""
        self._payload.prefetch(offset, length)

    def allocation(self, offset: int, length: int) -> tuple[int, bool]:
        """As below."""
        return self._payload.allocation(offset, length)

    def write(self, offset: int, data: Buffer) -> None:
        """Encrypt ``data`` and store it at ``offset``."""
        self._payload.write(offset, self._encrypt(offset, data))

    def write_durable(self, offset: int, data: Buffer) -> None:
        """As :meth:`write`, durable when it returns."""
        self._payload.write_durable(offset, self._encrypt(offset, data))

    def flush(self) -> None:
        """As below."""
        self._lower.flush()

    def discard(self, offset: int, length: int) -> None:
        """As below; what is read from there afterwards is noise."""
        self.check_range(offset, length)
        self._payload.discard(offset, length)

    def close(self) -> None:
        """Close the lower device and wipe the expanded keys."""
        self._closed = True
        self._lower.close()
        self._cipher.close()

    def _encrypt(self, offset: int, data: Buffer) -> Buffer:
        self.check_range(offset, memoryview(data).nbytes)
        if self._closed:
            raise DeviceGone("the container is closed")
        return self._cipher.encrypt(data, offset // SECTOR)
