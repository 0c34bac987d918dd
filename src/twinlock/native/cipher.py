"""Sector encryption as dm-crypt does it: one native call for all sectors of a request.

The interpreter lock is released during the call and several threads may call at
once.  Initialisation vectors count 512-byte sectors whatever the sector size, so
with 4096-byte sectors they advance by 8 (dm-crypt without ``iv_large_sectors``).
"""

from enum import StrEnum
from typing import Any

from typing_extensions import Buffer

from twinlock.native._native import ffi, lib
from twinlock.native.key import KeyBuffer
from twinlock.units import SECTOR

SECTOR_SIZES = (512, 1024, 2048, 4096)


class CipherName(StrEnum):
    """The ciphers served, by the names dm-crypt and LUKS give them."""

    AES_XTS_PLAIN64 = "aes-xts-plain64"
    AES_CBC_ESSIV_SHA256 = "aes-cbc-essiv:sha256"


KEY_SIZES = {CipherName.AES_XTS_PLAIN64: (32, 64), CipherName.AES_CBC_ESSIV_SHA256: (16, 32)}
"""Bytes of a volume key; XTS splits it into two keys of half the size."""

_MODES = {
    CipherName.AES_XTS_PLAIN64: lib.TL_XTS_PLAIN64,
    CipherName.AES_CBC_ESSIV_SHA256: lib.TL_CBC_ESSIV_SHA256,
}
# The result is written from end to end, so clearing it first would be for nothing.
_uncleared = ffi.new_allocator(should_clear_after_alloc=False)


class SectorCipher:
    """En- and decrypts whole sectors of ``sector_size`` bytes (512, 1024, 2048 or 4096).

    The key is expanded here and not needed afterwards.  ValueError for a cipher,
    key size or sector size that is not served.
    """

    def __init__(self, name: str, key: KeyBuffer, sector_size: int) -> None:
        self.name = CipherName(name)
        self.sector_size = sector_size
        if key.size not in KEY_SIZES[self.name]:
            raise ValueError(f"{name} has no key of {key.size} bytes")
        if sector_size not in SECTOR_SIZES:
            raise ValueError(f"there are no sectors of {sector_size} bytes")
        pointer = ffi.cast("uint8_t *", key.address)
        cipher = lib.tl_cipher_new(_MODES[self.name], pointer, key.size, sector_size)
        if cipher == ffi.NULL:
            raise RuntimeError(f"OpenSSL refuses {name}: {_last_error()}")
        self._cipher: Any = ffi.gc(cipher, lib.tl_cipher_free)

    def encrypt(self, data: Buffer, sector512: int) -> memoryview:
        """The ciphertext of ``data`` in memory of its own.

        ``data`` is whole sectors; the first lies at ``sector512``, counted in 512
        bytes from the start of what is encrypted.
        """
        return self._run(lib.TL_ENCRYPT, data, sector512)

    def decrypt(self, data: Buffer, sector512: int) -> memoryview:
        """The plaintext of ``data``; as :meth:`encrypt`."""
        return self._run(lib.TL_DECRYPT, data, sector512)

    def close(self) -> None:
        """Wipe the expanded keys, once calls that are under way have returned.  Idempotent."""
        self._cipher = None

    def __repr__(self) -> str:
        return f"<SectorCipher {self.name}, sectors of {self.sector_size} bytes>"

    def _run(self, direction: int, data: Buffer, sector512: int) -> memoryview:
        cipher = self._cipher  # a reference of our own: close() must not free it under the call
        if cipher is None:
            raise ValueError("the cipher is closed")
        source = ffi.from_buffer(data)
        length = len(source)
        if length % self.sector_size or sector512 * SECTOR % self.sector_size:
            raise ValueError(
                f"{length} bytes at sector {sector512} are not whole sectors of {self.sector_size}"
            )
        result = _uncleared("uint8_t[]", length)
        if not lib.tl_cipher_run(cipher, direction, source, result, length, sector512):
            raise RuntimeError(f"OpenSSL failed: {_last_error()}")
        return memoryview(ffi.buffer(result))


def _last_error() -> str:
    text = ffi.new("char[256]")
    lib.tl_last_error(text, len(text))
    message: Any = ffi.string(text)
    return str(message.decode(errors="replace"))
