"""Make a container, look into one, unlock one.

Everything takes and gives header areas as bytes; reading them from the array and
writing them back is the caller's.  Deriving a key takes seconds and up to 1 GiB
of memory (libcryptsetup measures the machine, and takes less where there is less).
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn

from typing_extensions import Buffer

from twinlock.errors import ContainerUnsupported, KeyDerivationFailed, PassphraseUnusable, WrongPassphrase
from twinlock.luks.device import CallFailed, Cost, LuksDevice
from twinlock.luks.facts import ContainerFacts, describe, judge
from twinlock.luks.image import HeaderImage
from twinlock.luks.kinds import Kind, Note, note_kind
from twinlock.luks.opening import Attempt, try_slots
from twinlock.luks.tokens import set_target_name
from twinlock.native import CipherName, KeyBuffer
from twinlock.native.cipher import SECTOR_SIZES
from twinlock.units import MIB, TIB

PROBE_LENGTH = 8 * MIB
"""Bytes that :func:`header_length` wants: both copies of the largest LUKS2 header (4 MiB each)."""
SMALLEST_ARRAY = 4 * MIB
"""Bytes of the smallest array that a container is made on."""
LONGEST_PASSPHRASE = 8 * MIB
"""Bytes of the longest key file that cryptsetup reads unless told otherwise."""

_KEY_SIZE = 64
_PAYLOAD_OFFSET, _SMALL_PAYLOAD_OFFSET, _SMALL_ARRAY = 16 * MIB, 2 * MIB, 64 * MIB
_ANY_SIZE = 1024 * TIB


@dataclass(frozen=True, slots=True, kw_only=True)
class FormattedContainer(ContainerFacts):
    """A new container; ``header`` fills the array from its start up to ``payload_offset``."""

    header: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenContainer(ContainerFacts):
    """An unlocked container; whoever holds it closes ``key`` once the cipher is made."""

    key: KeyBuffer


def payload_offset_for(array_size: int) -> int:
    """Where a new container's payload begins, in bytes: 16 MiB as cryptsetup has it, 2 MiB below 64 MiB.

    2 MiB leave room for 8 keyslots instead of 32.
    """
    return _PAYLOAD_OFFSET if array_size >= _SMALL_ARRAY else _SMALL_PAYLOAD_OFFSET


def format_container(
    *,
    size: int,
    sector_size: int,
    passphrase: Buffer,
    iter_time_ms: int | None = None,
    memory: int | None = None,
    since: int | None = None,
    label: str | None = None,
    uuid: str | None = None,
    target_name: str | None = None,
) -> FormattedContainer:
    """A LUKS2 container (AES-256-XTS, Argon2id) for an array of ``size`` bytes.

    ``size`` is a multiple of ``sector_size`` (512, 1024, 2048 or 4096) and at least
    :data:`SMALLEST_ARRAY`.  ``iter_time_ms`` is how long deriving a key shall take:
    None for libcryptsetup's 2000 ms, 0 for the least work LUKS2 allows (throw-away
    volumes only); ``memory`` is how many bytes it may take at most, None for 1 GiB.
    ``since`` is noted as when the key was made, in seconds since 1970.  UUID and volume
    key are made by libcryptsetup.  ``target_name`` is stored if it is given.  Raises
    :class:`PassphraseUnusable`, :class:`KeyDerivationFailed`, :class:`LibraryMissing`.
    """
    if size < SMALLEST_ARRAY or sector_size not in SECTOR_SIZES or size % sector_size:
        raise ValueError(f"no container of {sector_size}-byte sectors fits an array of {size} bytes")
    _check_passphrase(passphrase)
    payload_offset = payload_offset_for(size)
    with HeaderImage(size) as image, LuksDevice.open(image) as device:
        try:
            device.set_cost(Cost(iter_time_ms, memory))
            device.format(
                cipher=CipherName.AES_XTS_PLAIN64,
                key_size=_KEY_SIZE,
                sector_size=sector_size,
                payload_offset=payload_offset,
                uuid=uuid,
                label=label,
            )
            number = device.add_passphrase(passphrase)
            set_target_name(device, target_name)
            note_kind(device, number, Note(Kind.PASSPHRASE, since))
        except CallFailed as failure:
            _explain(failure)
        facts = judge(describe(device), size)
        return FormattedContainer(header=image.read(payload_offset), **_values(facts))


def header_length(first: Buffer) -> int:
    """How many bytes from the array's start the functions below want as ``header``.

    ``first`` is the first :data:`PROBE_LENGTH` bytes of the array, or the whole
    array if it is smaller.  Raises :class:`ContainerUnsupported` if that is no
    LUKS header, or both copies are damaged.
    """
    with loaded(first, _ANY_SIZE) as (_, device):
        return device.header_size


def inspect_container(header: Buffer, *, array_size: int) -> ContainerFacts:
    """What can be known of a container without a passphrase.

    Raises :class:`ContainerUnsupported` if twinlock does not serve it.
    """
    with loaded(header, array_size) as (_, device):
        return judge(describe(device), array_size)


def unlock_container(
    header: Buffer,
    *,
    array_size: int,
    passphrase: Buffer,
    attempt: Attempt,
) -> OpenContainer:
    """The volume key and all that is needed to use it.

    Raises :class:`WrongPassphrase`, :class:`ContainerUnsupported`, :class:`MemoryShort`,
    :class:`KeyDerivationFailed`, :class:`KeyMemoryUnavailable`, :class:`LibraryMissing`.
    """
    with loaded(header, array_size) as (_, device):
        facts = judge(describe(device), array_size)
        try:
            key = try_slots(device, lambda each: device.volume_key(passphrase, each), attempt)
        except CallFailed as failure:
            _explain(failure, attempt.name)
    return OpenContainer(key=key, **_values(facts))


@contextmanager
def loaded(header: Buffer, array_size: int) -> Iterator[tuple[HeaderImage, LuksDevice]]:
    """A header area in an image, read and, where one of LUKS2's copies is damaged, repaired there.

    Raises :class:`ContainerUnsupported` if no copy is whole.
    """
    with HeaderImage(array_size, header) as image, LuksDevice.open(image) as device:
        try:
            device.load()
        except CallFailed as failure:
            reason = "there is no LUKS header at the start of the array, or it is damaged"
            raise ContainerUnsupported(reason=reason) from failure
        yield image, device


def _explain(failure: CallFailed, name: str = "") -> NoReturn:
    """Raise what a refusal of libcryptsetup means to a person."""
    match failure.number:
        case errno.EPERM:
            raise WrongPassphrase(name=name) from None
        case errno.ENOMEM:
            raise KeyDerivationFailed(reason=str(failure)) from failure
        case _:
            raise ContainerUnsupported(reason=str(failure)) from failure


def _check_passphrase(passphrase: Buffer) -> None:
    length = memoryview(passphrase).nbytes
    if not length:
        raise PassphraseUnusable(reason="it is empty")
    if length > LONGEST_PASSPHRASE:
        raise PassphraseUnusable(reason=f"it has more than {LONGEST_PASSPHRASE // MIB} MiB")


def _values(facts: ContainerFacts) -> dict[str, Any]:
    return {each.name: getattr(facts, each.name) for each in fields(facts)}
