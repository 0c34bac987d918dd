"""What becomes of an operation: one letter for each that comes, from a map or by chance."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from twinlock.errors import DeviceError, DeviceGone, MediumError, SpaceExhausted, WriteFailed

Hook: TypeAlias = Callable[[str, int, int], None]
"""Called before each operation with its letter, offset and length; may wait, or raise."""

KINDS = "rwfd"
"""A read, write, flush, discard."""
WORKS = "."
ERRORS: dict[str, dict[str, type[DeviceError]]] = {
    "E": {"r": MediumError, "w": WriteFailed, "f": WriteFailed, "d": WriteFailed},
    "S": dict.fromkeys(KINDS, SpaceExhausted),
    "G": dict.fromkeys(KINDS, DeviceGone),
}
"""The error that a letter stands for, by the kind of operation."""
DELAY = "D"
TORN = "T"
LIE = "L"
APPLIES = {DELAY: KINDS, TORN: "w", LIE: "wf"}
"""The kinds that a letter without an error means something for."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How often what goes wrong: for each kind of operation, letters and the share of it that meets them.

    ``chance`` gives numbers from 0 to 1, as :meth:`random.Random.random` does: the seed is the caller's.
    """

    chance: Callable[[], float]
    shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def letter(self, kind: str) -> str:
        """What becomes of the next operation of this kind."""
        drawn = self.chance()
        for letter, share in self.shares.get(kind, {}).items():
            if drawn < share:
                return letter
            drawn -= share
        return WORKS


def error_for(letter: str, kind: str) -> type[DeviceError] | None:
    """What the operation ends in; None if it is to be done.  Raises AssertionError: the map is wrong."""
    if letter in ERRORS:
        return ERRORS[letter][kind]
    if letter not in (kind, WORKS) and kind not in APPLIES.get(letter, ""):
        raise AssertionError(f"the plan expects {letter!r}, but {kind!r} came")
    return None
