"""Which keyslots a secret is tried on, in which order, and which of them there is no memory for.

As libcryptsetup does it for "any keyslot": those that are preferred first, those of priority ``ignore`` only
if they are named (LUKS2 on-disk format, section 3.2).  But a keyslot that takes more memory than there is
would have the kernel kill the process, so it is left out, and named if no other one opens.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from twinlock.errors import MemoryShort
from twinlock.luks.device import CallFailed, LuksDevice, Priority, SlotState
from twinlock.units import MIB, format_size

_T = TypeVar("_T")

SPARE = 16 * MIB
"""Bytes that have to be left beside those that a key derivation takes."""
_NOT_THIS_ONE = (errno.EPERM, errno.ENOENT)


@dataclass(frozen=True, slots=True)
class Attempt:
    """How a keyslot is opened.

    ``name`` is the volume's, for errors; ``number``: that keyslot alone is tried; ``available``: bytes of
    memory that there are for it, None if nobody knows.
    """

    name: str
    number: int | None = None
    available: int | None = None


def fits(memory: int, available: int | None) -> bool:
    """Whether a derivation that takes ``memory`` bytes can run; ``available`` None: nobody knows."""
    return not memory or available is None or memory + SPARE <= available


def try_slots(device: LuksDevice, act: Callable[[int], _T], attempt: Attempt) -> _T:
    """What ``act`` says of the first keyslot that it does not refuse (CallFailed with EPERM or ENOENT).

    Raises what ``act`` raises, and MemoryShort.
    """
    wanted = _in_order(device) if attempt.number is None else [attempt.number]
    if not wanted:
        raise CallFailed(errno.ENOENT, _why_none(device))
    needed = {each: device.slot_cost(each).memory for each in wanted}
    possible = [each for each in wanted if fits(needed[each], attempt.available)]
    refused = CallFailed(errno.EPERM, "")
    for each in possible:
        try:
            return act(each)
        except CallFailed as failure:
            if failure.number not in _NOT_THIS_ONE:
                raise
            refused = failure
    _refuse_short({each: needed[each] for each in wanted if each not in possible}, attempt)
    raise refused


def _in_order(device: LuksDevice) -> list[int]:
    """The keyslots of the data's key, as libcryptsetup tries them."""
    usable = [
        each
        for each in range(device.slot_count)
        if device.slot_state(each) is SlotState.USED and device.slot_priority(each) is not Priority.IGNORE
    ]
    return sorted(usable, key=lambda each: device.slot_priority(each) is not Priority.PREFER)


def _why_none(device: LuksDevice) -> str:
    states = [device.slot_state(each) for each in range(device.slot_count)]
    if SlotState.USED not in states:
        return "none of its keyslots holds a key"
    command = "cryptsetup config --priority normal --key-slot NUMBER DEVICE"
    return (
        f"its keyslots are all of priority 'ignore', which are used only when named; to undo that: {command}"
    )


def _refuse_short(left: dict[int, int], attempt: Attempt) -> None:
    """Raise MemoryShort for the cheapest of the keyslots that were left out, of so many bytes each."""
    if not left or attempt.available is None:
        return
    number = min(left, key=left.__getitem__)
    raise MemoryShort(
        what=f"trying key {number} of volume '{attempt.name}'",
        needed=format_size(left[number]),
        available=format_size(attempt.available),
    )
