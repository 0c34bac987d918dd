"""Keyslots: list them, try a key, add, change and remove one.

Everything takes and gives header areas as bytes (see :mod:`twinlock.luks.rewrite` for the way back to the
medium).  The volume key stays inside libcryptsetup and locked memory; whoever adds a key has to know one.
"""

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

from typing_extensions import Buffer

from twinlock.errors import (
    ContainerUnsupported,
    KeyDerivationFailed,
    KeyslotsFull,
    LastKey,
    NoSuchKeyslot,
    PassphraseUnusable,
    WrongPassphrase,
)
from twinlock.luks.container import loaded
from twinlock.luks.device import CallFailed, Cost, LuksDevice, Priority, SlotCost, SlotState
from twinlock.luks.image import HeaderImage
from twinlock.luks.kinds import Kind, Note, note_kind, notes_in, other_tokens
from twinlock.luks.opening import Attempt, try_slots
from twinlock.luks.rewrite import Unordered, plan
from twinlock.native import KeyBuffer
from twinlock.units import MIB

LONGEST_KEY = 8 * MIB
"""Bytes of the longest key file that cryptsetup reads unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Keyslot:
    """A keyslot that holds something; ``since`` in seconds since 1970, ``tokens`` are others' that use it."""

    number: int
    bound: bool
    note: Note
    cost: SlotCost
    tokens: tuple[str, ...]
    ignored: bool = False
    """Of priority ``ignore``: not tried unless it is named, so nothing here unlocks with it."""

    @property
    def usable(self) -> bool:
        """Whether the volume unlocks with it."""
        return self.bound and not self.ignored


@dataclass(frozen=True, slots=True)
class Keyslots:
    """All keyslots of a container.  ``knows_kinds``: False for LUKS1, which has no place to note them."""

    version: int
    uuid: str
    places: int
    used: tuple[Keyslot, ...]

    @property
    def knows_kinds(self) -> bool:
        """Whether passphrases and key files can be told apart."""
        return self.version > 1

    def find(self, number: int) -> Keyslot:
        """The keyslot of that number; raises NoSuchKeyslot."""
        for slot in self.used:
            if slot.number == number:
                return slot
        raise NoSuchKeyslot(number=number)


@dataclass(frozen=True, slots=True)
class ChangedHeader:
    """A header area with another key in keyslot ``number``."""

    header: bytes = field(repr=False)
    number: int


def list_keyslots(header: Buffer, *, array_size: int) -> Keyslots:
    """What is in the keyslots; raises ContainerUnsupported if there is no header that is whole."""
    with loaded(header, array_size) as (_, device):
        return _keyslots(device)


def opening_slot(header: Buffer, *, array_size: int, secret: Buffer, attempt: Attempt) -> int:
    """The keyslot that ``secret`` opens.

    Raises WrongPassphrase, MemoryShort, KeyDerivationFailed; NoSuchKeyslot if there is none of the
    attempt's number.
    """
    with loaded(header, array_size) as (_, device):
        if attempt.number is not None:
            _keyslots(device).find(attempt.number)
        with _explained(attempt.name):
            return _opening(device, secret, attempt)


def add_key(
    header: Buffer,
    *,
    array_size: int,
    secret: Buffer,
    new_secret: Buffer,
    note: Note,
    cost: Cost,
    attempt: Attempt,
) -> ChangedHeader:
    """Another key, noted as ``note``, for whoever knows one.  It was tried before this returns.

    Raises WrongPassphrase, PassphraseUnusable, KeyslotsFull, MemoryShort, KeyDerivationFailed.
    """
    check_secret(new_secret)
    with loaded(header, array_size) as (image, device):
        slots = _keyslots(device)
        if len(slots.used) >= slots.places:
            raise KeyslotsFull(reason=f"all {slots.places} are taken")
        device.set_cost(cost)
        with _explained(attempt.name):
            with _volume_key(device, secret, attempt) as key:
                number = device.add_key(key, new_secret)
            return _proved(image, device, number, new_secret, note, len(memoryview(header)))


def change_key(
    header: Buffer,
    *,
    array_size: int,
    secret: Buffer,
    new_secret: Buffer,
    note: Note,
    cost: Cost,
    attempt: Attempt,
) -> ChangedHeader:
    """Another secret in place of ``secret``; as :func:`add_key`.  LUKS1: the number becomes another one."""
    check_secret(new_secret)
    with loaded(header, array_size) as (image, device):
        slots = _keyslots(device)
        if len(slots.used) >= slots.places:
            raise KeyslotsFull(
                reason=f"all {slots.places} are taken, and a change needs a free one for a moment"
            )
        device.set_cost(cost)
        with _explained(attempt.name):
            number = device.change_key(_opening(device, secret, attempt), secret, new_secret)
            changed = _proved(image, device, number, new_secret, note, len(memoryview(header)))
        _refuse_in_place(bytes(header), changed)
        return changed


def remove_key(header: Buffer, *, array_size: int, number: int, force: bool = False) -> ChangedHeader:
    """Without the key of one keyslot.  Raises NoSuchKeyslot; LastKey unless ``force``."""
    with loaded(header, array_size) as (image, device):
        if not force:
            refuse_last(_keyslots(device), number)
        _keyslots(device).find(number)
        with _explained(""):
            device.remove_key(number)
        return ChangedHeader(image.read(len(memoryview(header))), number)


def refuse_last(slots: Keyslots, number: int) -> None:
    """Raise LastKey if nobody, or nobody without a key file, could unlock without keyslot ``number``.

    A keyslot of which nothing is known counts as a passphrase's, unless a token opens it.  One of priority
    ``ignore`` counts for nothing that is left, for no unlock tries it; but who removes it may have meant it
    as a reserve, so it goes no more easily than others.
    """
    going = slots.find(number)
    left = [slot for slot in slots.used if slot is not going and slot.usable]
    if going.bound and not left:
        raise LastKey(number=number, reason=_why_last(slots, going))
    if going.bound and _can_be_typed(going) and not any(map(_can_be_typed, left)):
        raise LastKey(number=number, reason="it is the last passphrase; only key files would be left")


def _why_last(slots: Keyslots, going: Keyslot) -> str:
    if any(slot.bound for slot in slots.used if slot is not going):
        return "those that would be left are of priority 'ignore', and no unlock tries them"
    return "it is the last one, and without it the data are lost for ever"


def _can_be_typed(slot: Keyslot) -> bool:
    """False for a key file, and for what a token opens (a TPM, a FIDO2 stick), unless it is noted as ours."""
    if slot.note.kind is Kind.UNKNOWN:
        return not slot.tokens
    return slot.note.kind is Kind.PASSPHRASE


def check_secret(secret: Buffer) -> None:
    """Raise PassphraseUnusable for a new key that is empty or too long."""
    length = memoryview(secret).nbytes
    if not length:
        raise PassphraseUnusable(reason="it is empty")
    if length > LONGEST_KEY:
        raise PassphraseUnusable(reason=f"it has more than {LONGEST_KEY // MIB} MiB")


# -- inside ---------------------------------------------------------------------------------------


def _keyslots(device: LuksDevice) -> Keyslots:
    metadata = json.loads(device.metadata()) if device.version > 1 else None
    states = {number: device.slot_state(number) for number in range(device.slot_count)}
    used = [number for number, state in states.items() if state is not SlotState.FREE]
    found = (_keyslot(device, number, states[number], metadata) for number in used)
    return Keyslots(device.version, device.uuid, device.slot_count, tuple(found))


def _keyslot(device: LuksDevice, number: int, state: SlotState, metadata: dict[str, Any] | None) -> Keyslot:
    known = {} if metadata is None else notes_in(metadata)
    return Keyslot(
        number=number,
        bound=state is SlotState.USED,
        note=known.get(number, Note(Kind.UNKNOWN)),
        cost=device.slot_cost(number),
        tokens=() if metadata is None else other_tokens(metadata, number),
        ignored=device.slot_priority(number) is Priority.IGNORE,
    )


def _opening(device: LuksDevice, secret: Buffer, attempt: Attempt) -> int:
    return try_slots(device, lambda each: device.try_slot(secret, each), attempt)


def _volume_key(device: LuksDevice, secret: Buffer, attempt: Attempt) -> KeyBuffer:
    """In locked memory: it becomes no Python object."""
    return try_slots(device, lambda each: device.volume_key(secret, each), attempt)


def _proved(
    image: HeaderImage, device: LuksDevice, number: int, secret: Buffer, note: Note, length: int
) -> ChangedHeader:
    """The changed header, in which the new key was seen to open its keyslot."""
    note_kind(device, number, note)
    changed = image.read(length)
    with HeaderImage(image.size, changed) as copy, LuksDevice.open(copy) as again:
        again.load()
        try:
            again.try_slot(secret, number)
        except CallFailed as failure:
            reason = f"the new key was tried before anything was written, and did not open it ({failure})"
            raise ContainerUnsupported(reason=reason) from failure
    return ChangedHeader(changed, number)


def _refuse_in_place(header: bytes, changed: ChangedHeader) -> None:
    """Without room libcryptsetup overwrites the old key material: a crash would leave neither key."""
    try:
        plan(header, changed.header)
    except Unordered as error:
        reason = "its header area is full, and a change needs room for a moment"
        raise KeyslotsFull(reason=reason) from error


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Raise what a refusal of libcryptsetup means to a person."""
    try:
        yield
    except CallFailed as failure:
        _raise(failure, name)


def _raise(failure: CallFailed, name: str) -> NoReturn:
    match failure.number:
        case errno.EPERM:
            raise WrongPassphrase(name=name) from None
        case _ if "No space" in str(failure):  # with EINVAL, in words that Python's locale leaves in English
            raise KeyslotsFull(reason="its header area is full") from failure
        case errno.ENOMEM:
            raise KeyDerivationFailed(reason=str(failure)) from failure
        case _:
            raise ContainerUnsupported(reason=str(failure)) from failure
