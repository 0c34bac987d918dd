"""A load for a disk, and what the disk must hold afterwards.

The disk is cut into slots of many sizes with borders at any block.  In each round some slots are
written, zeroed or discarded while others are read and verified, all at once; no two requests of a
round touch the same slot, so the outcome is certain in whatever order they are carried out.  Slots
side by side, and one slot in rounds that follow each other, have different patterns: a request that
went to the wrong place, or came too late, shows.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import BinaryIO

LARGEST = 256
"""Blocks of a slot."""


class Action(Enum):
    """What is done to a slot; the value is its command for qemu-io, in which P, O and L are filled in."""

    WRITE = "aio_write -q -P {pattern} {offset} {length}"
    WRITE_THROUGH = "aio_write -q -f -P {pattern} {offset} {length}"
    ZERO = "aio_write -q -z {offset} {length}"
    ZERO_AND_UNMAP = "aio_write -q -z -u {offset} {length}"
    DISCARD = "discard -q {offset} {length}"
    VERIFY = "aio_read -q -P {pattern} {offset} {length}"


_WEIGHTS = {
    Action.WRITE: 8,
    Action.WRITE_THROUGH: 1,
    Action.ZERO: 1,
    Action.ZERO_AND_UNMAP: 1,
    Action.DISCARD: 1,
    Action.VERIFY: 8,
}
_ZERO = {Action.ZERO, Action.ZERO_AND_UNMAP}


@dataclass(slots=True)
class Slot:
    """Bytes of the disk that all have the value ``pattern``; None if it is not known (any more)."""

    offset: int
    length: int
    pattern: int | None = None


@dataclass
class Workload:
    """Rounds of requests within ``size`` bytes from ``offset`` on; the same ``seed`` gives the same ones."""

    seed: int
    size: int
    block_size: int
    offset: int = 0
    slots: list[Slot] = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._round = 0
        self.slots = list(self._cut())

    def fill(self) -> list[str]:
        """Write each slot, all at once, and flush."""
        return self._requests({Action.WRITE: 1})

    def round(self) -> list[str]:
        """One round: a request for each slot, and a flush."""
        return self._requests(_WEIGHTS)

    def verify(self) -> list[str]:
        """Read each slot of which it is known what it must hold."""
        return self._requests({Action.VERIFY: 1})

    def differences(self, image: Path) -> list[Slot]:
        """The slots that ``image`` (of the whole disk) does not hold as it should."""
        with image.open("rb") as file:
            return [slot for slot in self.slots if not _holds(file, slot)]

    def _requests(self, weights: dict[Action, int]) -> list[str]:
        self._round += 1
        chosen = self._random.choices(list(weights), list(weights.values()), k=len(self.slots))
        work = list(enumerate(zip(chosen, self.slots, strict=True)))
        self._random.shuffle(work)
        commands = [line for number, (action, slot) in work for line in self._command(number, action, slot)]
        return [*commands, "aio_flush", "flush"]

    def _command(self, number: int, action: Action, slot: Slot) -> Iterator[str]:
        if action is Action.VERIFY and slot.pattern is None:
            return
        if action is not Action.VERIFY:
            slot.pattern = self._outcome(number, action)
        yield action.value.format(pattern=slot.pattern, offset=slot.offset, length=slot.length)

    def _outcome(self, number: int, action: Action) -> int | None:
        """The pattern after ``action``: what was discarded may read as anything (LBPRZ is 0)."""
        if action in _ZERO:
            return 0
        return None if action is Action.DISCARD else (number * 37 + self._round * 101 + self.seed) % 255 + 1

    def _cut(self) -> Iterator[Slot]:
        place, end = self.offset, self.offset + self.size
        while place < end:
            blocks = min(self._random.choice((1, 2, 7, 8, 9, 64, LARGEST)), (end - place) // self.block_size)
            yield Slot(place, blocks * self.block_size)
            place += blocks * self.block_size


def _holds(image: BinaryIO, slot: Slot) -> bool:
    image.seek(slot.offset)
    return slot.pattern is None or image.read(slot.length) == bytes([slot.pattern]) * slot.length
