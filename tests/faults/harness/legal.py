"""Which errors and refusals are legal, act by act; any other one is wrong.

What is not in the table never is: a read, a write, a flush, a start may not fail, whatever was injected,
for a member that has everything is always left.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from tests.faults.harness.oracle import Illegal
from twinlock.block.mirror.member import MemberState
from twinlock.block.mirror.scrub_status import ScrubState
from twinlock.errors import (
    DeviceError,
    MemberNeeded,
    MembersDiverged,
    MemberUnusable,
    NoSuchMember,
    NotPossibleNow,
    SpaceExhausted,
    TwinlockError,
)

if TYPE_CHECKING:
    from tests.faults.harness.life import Life

Explains: TypeAlias = Callable[["Life", int], bool]
"""Told the life and the medium that is spoken of (-1: none): can what was done explain the error?"""


@dataclass(frozen=True, slots=True)
class Allowed:
    """``why``: what explains the error, in words."""

    error: type[Exception]
    why: str
    explains: Explains


def _always(_life: "Life", _number: int) -> bool:
    return True


def _apart(life: "Life", number: int) -> bool:
    return life.history.may_be_refused(number, life.party)


def _missed_growth(life: "Life", number: int) -> bool:
    return life.history.missed_growth(number, life.rig.mirror.size)


def _replacing(life: "Life", _number: int) -> bool:
    return life.rig.mirror.status().replacing is not None


def _incomplete(life: "Life", _number: int) -> bool:
    return not life.rig.complete


def _scrubbing(life: "Life", _number: int) -> bool:
    return life.rig.mirror.scrub_status.state is ScrubState.RUNNING


def _last(life: "Life", number: int) -> bool:
    return life.rig.having(MemberState.IN_SYNC) == [number]


def _no_member(life: "Life", number: int) -> bool:
    present = (MemberState.IN_SYNC, MemberState.REBUILDING, MemberState.SPARE)
    return number not in life.rig.having(*present)


_JOINING = (
    Allowed(MembersDiverged, "it ran apart, or left before any of the others came", _apart),
    Allowed(MemberUnusable, "the array has grown without it", _missed_growth),
)
ALLOWED: dict[str, tuple[Allowed, ...]] = {
    "add": _JOINING,
    "replace": (*_JOINING, Allowed(NotPossibleNow, "another one is being replaced", _replacing)),
    "grow": (Allowed(NotPossibleNow, "a member is missing, or being filled", _incomplete),),
    "scrub": (Allowed(NotPossibleNow, "one is running", _scrubbing),),
    "fail": (
        Allowed(MemberNeeded, "it is the last one in sync", _last),
        Allowed(NoSuchMember, "it left already", _no_member),
    ),
    "write without room": (Allowed(SpaceExhausted, "there is no room", _always),),
    "start": (Allowed(MembersDiverged, "a stranger ran apart, or left before the others came", _apart),),
}


def explained(life: "Life", act: str, number: int, error: Exception) -> bool:
    """Whether the table allows the error, as things are."""
    return any(isinstance(error, row.error) and row.explains(life, number) for row in ALLOWED.get(act, ()))


def attempt(life: "Life", act: str, do: Callable[[], object], number: int = -1) -> bool:
    """Do it; False if it was refused, as it may be.  Raises Illegal for a refusal that nothing explains."""
    try:
        do()
    except (TwinlockError, DeviceError) as error:
        life.told.append(f"refused: {type(error).__name__}")
        if not explained(life, act, number, error):
            raise Illegal(f"{act} ends in {type(error).__name__}, which nothing explains: {error}") from error
        if isinstance(error, MembersDiverged):
            life.note_refusal([number])
        return False
    return True
