"""libcryptsetup's calls on one header image, with Python's types and exceptions.

The volume key passes from libcryptsetup to locked memory by address; it is made
inside ``crypt_format`` and never becomes a Python object.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any, Self

from typing_extensions import Buffer

from twinlock.luks import library
from twinlock.luks.image import HeaderImage
from twinlock.luks.library import (
    CRYPT_ANY,
    CRYPT_PBKDF_NO_BENCHMARK,
    CRYPT_SLOT_ACTIVE,
    CRYPT_SLOT_ACTIVE_LAST,
    CRYPT_SLOT_PRIORITY_IGNORE,
    CRYPT_SLOT_PRIORITY_NORMAL,
    CRYPT_SLOT_PRIORITY_PREFER,
    CRYPT_SLOT_UNBOUND,
    ffi,
    text,
)
from twinlock.native import KeyBuffer
from twinlock.units import KIB, SECTOR


class SlotState(StrEnum):
    """What is in a keyslot."""

    FREE = "free"
    USED = "used"
    UNBOUND = "unbound"
    """It holds a key, but not the one of this container's data."""


class Priority(IntEnum):
    """How readily a keyslot is tried (LUKS2 on-disk format, section 3.2)."""

    IGNORE = CRYPT_SLOT_PRIORITY_IGNORE
    """Only if it is named."""
    NORMAL = CRYPT_SLOT_PRIORITY_NORMAL
    PREFER = CRYPT_SLOT_PRIORITY_PREFER


_SLOT_STATES = {
    CRYPT_SLOT_ACTIVE: SlotState.USED,
    CRYPT_SLOT_ACTIVE_LAST: SlotState.USED,
    CRYPT_SLOT_UNBOUND: SlotState.UNBOUND,
}


@dataclass(frozen=True, slots=True)
class Cost:
    """What opening a new keyslot shall cost: time, and memory in bytes at most; None: libcryptsetup's
    default.

    0 milliseconds: the least work that the format allows, without a benchmark (throw-away volumes only).
    """

    milliseconds: int | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class SlotCost:
    """How a keyslot's key is derived; memory in bytes."""

    kdf: str
    iterations: int
    memory: int
    threads: int


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

    def set_cost(self, cost: Cost) -> None:
        """What keyslots made from now on shall cost to open; LUKS1 knows PBKDF2 only."""
        wanted: Any = ffi.new("struct crypt_pbkdf_type *")
        default = self._library.crypt_get_pbkdf_default(b"LUKS1" if self._is_luks1 else b"LUKS2")
        wanted.type, wanted.hash, wanted.time_ms = default.type, default.hash, default.time_ms
        wanted.parallel_threads, wanted.max_memory_kb = default.parallel_threads, default.max_memory_kb
        if cost.milliseconds is not None:
            wanted.time_ms = cost.milliseconds
        if cost.memory is not None:
            wanted.max_memory_kb = min(default.max_memory_kb, cost.memory // KIB)
        if cost.milliseconds == 0:
            wanted.flags = CRYPT_PBKDF_NO_BENCHMARK
            wanted.iterations, wanted.max_memory_kb, wanted.parallel_threads = self._least(default)
        self._check(self._library.crypt_set_pbkdf_type(self._device, wanted))

    def _least(self, default: Any) -> tuple[int, int, int]:
        """Iterations, KiB, threads."""
        return (4, 32, 1) if default.max_memory_kb else (1000, 0, 0)

    @property
    def _is_luks1(self) -> bool:
        kind = self._library.crypt_get_type(self._device)
        return bool(kind != ffi.NULL and text(kind) == "LUKS1")

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

    # -- keyslots ----------------------------------------------------------------------------------

    @property
    def slot_count(self) -> int:
        """How many keyslots such a container can have."""
        return self._check(self._library.crypt_keyslot_max(f"LUKS{self.version}".encode()))

    def slot_state(self, number: int) -> SlotState:
        """Whether a keyslot holds a key, and of what."""
        return _SLOT_STATES.get(self._library.crypt_keyslot_status(self._device, number), SlotState.FREE)

    def slot_priority(self, number: int) -> Priority:
        """How readily a keyslot that is not free is tried; LUKS1 knows no difference."""
        return Priority(self._check(self._library.crypt_keyslot_get_priority(self._device, number)))

    def slot_cost(self, number: int) -> SlotCost:
        """How a keyslot's key is derived."""
        found: Any = ffi.new("struct crypt_pbkdf_type *")
        self._check(self._library.crypt_keyslot_get_pbkdf(self._device, number, found))
        memory = int(found.max_memory_kb) * KIB
        return SlotCost(text(found.type), int(found.iterations), memory, int(found.parallel_threads))

    def add_key(self, key: KeyBuffer, new_secret: Buffer) -> int:
        """Store the volume key in a free keyslot for ``new_secret``; its number.  EPERM: another key."""
        new = ffi.from_buffer(new_secret)
        return self._check(
            self._library.crypt_keyslot_add_by_volume_key(
                self._device, CRYPT_ANY, ffi.cast("char *", key.address), key.size, new, len(new)
            )
        )

    def change_key(self, number: int, secret: Buffer, new_secret: Buffer) -> int:
        """Exchange the secret of a keyslot; the number it has then (another one in LUKS1, with room)."""
        old, new = ffi.from_buffer(secret), ffi.from_buffer(new_secret)
        return self._check(
            self._library.crypt_keyslot_change_by_passphrase(
                self._device, number, CRYPT_ANY, old, len(old), new, len(new)
            )
        )

    def remove_key(self, number: int) -> None:
        """Wipe a keyslot."""
        self._check(self._library.crypt_keyslot_destroy(self._device, number))

    def try_slot(self, secret: Buffer, number: int) -> int:
        """``number`` if ``secret`` opens that keyslot; CallFailed with EPERM if it does not."""
        known = ffi.from_buffer(secret)
        return self._check(
            self._library.crypt_activate_by_passphrase(self._device, ffi.NULL, number, known, len(known), 0)
        )

    # -- using one ---------------------------------------------------------------------------------

    def load(self) -> None:
        """Read the header.  Of LUKS2's two copies one may be damaged: the image's is then repaired."""
        self._check(self._library.crypt_load(self._device, ffi.NULL, ffi.NULL))

    def volume_key(self, passphrase: Buffer, number: int) -> KeyBuffer:
        """The volume key, in locked memory; CallFailed with EPERM if that keyslot does not open."""
        secret = ffi.from_buffer(passphrase)
        key = KeyBuffer(self.key_size)
        size = ffi.new("size_t *", key.size)
        try:
            self._check(
                self._library.crypt_volume_key_get(
                    self._device, number, ffi.cast("char *", key.address), size, secret, len(secret)
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
