"""libcryptsetup's calls on one header image, with Python's types and exceptions.

The volume key passes from libcryptsetup to locked memory by address; it is made
inside ``crypt_format`` and never becomes a Python object.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from typing_extensions import Buffer

from twinlock.luks import library
from twinlock.luks.image import HeaderImage
from twinlock.luks.library import CRYPT_ANY, CRYPT_PBKDF_NO_BENCHMARK, ffi, text
from twinlock.native import KeyBuffer
from twinlock.units import SECTOR


class CallFailed(Exception):
    """libcryptsetup refused: an errno, and its own words (which hold no secret)."""

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message or os.strerror(number))
        self.number = number


class LuksDevice:
    """A ``struct crypt_device`` on a header image.  One thread at a time."""

    def __init__(self, image: HeaderImage) -> None:
        self._library = library.load()
        self._path = image.path
        slot = ffi.new("struct crypt_device **")
        self._check(self._library.crypt_init(slot, image.path.encode()))
        self._device: Any = ffi.gc(slot[0], self._library.crypt_free)
        # Without device mapper there is nobody who could use a key in the kernel's keyring.
        self._check(self._library.crypt_volume_key_keyring(self._device, 0))

    @classmethod
    @contextmanager
    def open(cls, image: HeaderImage) -> Iterator[Self]:
        """A device that is freed (which wipes what libcryptsetup kept) at the end of the block."""
        device = cls(image)
        try:
            yield device
        finally:
            device.close()

    def close(self) -> None:
        """Free the device."""
        ffi.release(self._device)

    # -- making a container ------------------------------------------------------------------------

    def set_iteration_time(self, milliseconds: int) -> None:
        """Time that deriving a key should take; 0 is the least work LUKS2 allows, without a benchmark."""
        if milliseconds:
            self._library.crypt_set_iteration_time(self._device, milliseconds)
            return
        least: Any = ffi.new("struct crypt_pbkdf_type *")
        names = [ffi.new("char[]", b"argon2id"), ffi.new("char[]", b"sha256")]
        least.type, least.hash = names
        least.iterations, least.max_memory_kb, least.parallel_threads = 4, 32, 1
        least.flags = CRYPT_PBKDF_NO_BENCHMARK
        self._check(self._library.crypt_set_pbkdf_type(self._device, least))

    def format(
        self,
        *,
        cipher: str,
        key_size: int,
        sector_size: int,
        payload_offset: int,
        uuid: str | None,
        label: str | None,
    ) -> None:
        """Write a LUKS2 header with a new volume key of ``key_size`` bytes and no keyslot."""
        algorithm, _, mode = cipher.partition("-")
        name = ffi.new("char[]", label.encode()) if label is not None else ffi.NULL
        parameters = ffi.new("struct crypt_params_luks2 *", {"sector_size": sector_size, "label": name})
        self._check(self._library.crypt_set_data_offset(self._device, payload_offset // SECTOR))
        self._check(
            self._library.crypt_format(
                self._device,
                b"LUKS2",
                algorithm.encode(),
                mode.encode(),
                uuid.encode() if uuid is not None else ffi.NULL,
                ffi.NULL,
                key_size,
                parameters,
            )
        )

    def add_passphrase(self, passphrase: Buffer) -> int:
        """Store the volume key, which is still known from :meth:`format`, in a free keyslot; its number."""
        secret = ffi.from_buffer(passphrase)
        return self._check(
            self._library.crypt_keyslot_add_by_volume_key(
                self._device, CRYPT_ANY, ffi.NULL, 0, secret, len(secret)
            )
        )

    # -- using one ---------------------------------------------------------------------------------

    def load(self) -> None:
        """Read the header.  Of LUKS2's two copies one may be damaged: the image's is then repaired."""
        self._check(self._library.crypt_load(self._device, ffi.NULL, ffi.NULL))

    def volume_key(self, passphrase: Buffer) -> KeyBuffer:
        """The volume key, in locked memory; CallFailed with EPERM if no keyslot opens."""
        secret = ffi.from_buffer(passphrase)
        key = KeyBuffer(self.key_size)
        size = ffi.new("size_t *", key.size)
        try:
            self._check(
                self._library.crypt_volume_key_get(
                    self._device, CRYPT_ANY, ffi.cast("char *", key.address), size, secret, len(secret)
                )
            )
        except CallFailed:
            key.close()
            raise
        return key

    @property
    def version(self) -> int:
        """1 or 2."""
        return int(text(self._library.crypt_get_type(self._device)).removeprefix("LUKS"))

    @property
    def uuid(self) -> str:
        """The container's UUID, as text."""
        return text(self._library.crypt_get_uuid(self._device))

    @property
    def cipher(self) -> str:
        """Cipher and mode as dm-crypt writes them, ``aes-xts-plain64``."""
        algorithm = text(self._library.crypt_get_cipher(self._device))
        return f"{algorithm}-{text(self._library.crypt_get_cipher_mode(self._device))}"

    @property
    def key_size(self) -> int:
        """Bytes of the volume key."""
        return self._check(self._library.crypt_get_volume_key_size(self._device))

    @property
    def payload_offset(self) -> int:
        """Bytes from the start of the array to the payload."""
        return int(self._library.crypt_get_data_offset(self._device)) * SECTOR

    @property
    def header_size(self) -> int:
        """Bytes of the header area: all copies of the header, and the keyslots."""
        metadata, keyslots = ffi.new("uint64_t *"), ffi.new("uint64_t *")
        self._check(self._library.crypt_get_metadata_size(self._device, metadata, keyslots))
        return int(self.version * metadata[0] + keyslots[0])  # LUKS1 has one copy of the header, LUKS2 two

    def metadata(self) -> str:
        """LUKS2's metadata as JSON text (LUKS2 on-disk format, section 3); LUKS1 has none."""
        slot = ffi.new("const char **")
        self._check(self._library.crypt_dump_json(self._device, slot, 0))
        return text(slot[0])

    def set_token(self, number: int | None, json: str | None) -> None:
        """Store a token (in a free place for None), or remove it (``json`` None)."""
        content = json.encode() if json is not None else ffi.NULL
        place = CRYPT_ANY if number is None else number
        self._check(self._library.crypt_token_json_set(self._device, place, content))

    # -- results -----------------------------------------------------------------------------------

    def _check(self, result: int) -> int:
        message = library.take_message()
        if result < 0:
            raise CallFailed(-result, message.replace(self._path, "the container"))
        return result
