"""What a header change writes, kept elsewhere until it is done, so that a crash can be put right.

A journal holds the old and the new bytes of each place that changes.  After a crash each sector of these
is one or the other.  If a new copy of the header is there whole, all before it was flushed: the change is
finished. If not, it is undone.  Anything else was written by somebody later: it stays as it is, for it may
be the only truth.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from twinlock.luks.copies import Area, header_places, whole_copies
from twinlock.luks.rewrite import Step
from twinlock.units import SECTOR

_VERSION = 1


class Outcome(StrEnum):
    """What became of a change that was cut off."""

    NOT_BEGUN = "not begun"
    DONE = "done"
    UNDONE = "undone"
    FINISHED = "finished"
    OVERTAKEN = "overtaken"
    """Somebody else has written there since."""


@dataclass(frozen=True, slots=True)
class Change:
    """One place: its old and its new bytes."""

    offset: int
    before: bytes = field(repr=False)
    after: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Journal:
    """The places of one header change, in the order of its writes."""

    changes: tuple[Change, ...]

    @classmethod
    def of(cls, before: bytes, steps: Sequence[Step]) -> Self:
        """The journal of ``steps`` over a header area that is ``before`` now."""
        writes = [write for step in steps for write in step.writes]
        return cls(
            tuple(
                Change(each.offset, _cut(before, each.offset, len(each.data)), each.data) for each in writes
            )
        )

    def encode(self) -> bytes:
        """For a file."""
        changes = [[change.offset, _text(change.before), _text(change.after)] for change in self.changes]
        return json.dumps({"version": _VERSION, "digest": _digest(changes), "changes": changes}).encode()

    @classmethod
    def decode(cls, content: bytes) -> Self:
        """What :meth:`encode` made; raises ValueError for anything else."""
        try:
            read = json.loads(content)
            if read["version"] != _VERSION:
                raise ValueError("a journal of another kind")
            if read["digest"] != _digest(read["changes"]):
                raise ValueError("it is damaged")
            changes = [Change(int(where), _bytes(old), _bytes(new)) for where, old, new in read["changes"]]
        except (KeyError, TypeError) as error:
            raise ValueError("no journal") from error
        if not all(len(change.before) == len(change.after) for change in changes):
            raise ValueError("no journal")
        return cls(tuple(changes))

    @property
    def end(self) -> int:
        """How many bytes of the container it speaks of."""
        return max((change.offset + len(change.after) for change in self.changes), default=0)

    @property
    def blocks(self) -> frozenset[int]:
        """The numbers of the blocks of :data:`BLOCK` bytes that it speaks of."""
        areas = (Area(change.offset, len(change.after)) for change in self.changes)
        return frozenset(block for area in areas for block in area.blocks)

    def settle(self, medium: bytes) -> tuple[bytes, Outcome]:
        """The header area as it should be, from what the medium holds (at least ``end`` bytes)."""
        old, new = self._applied(medium, after=False), self._applied(medium, after=True)
        if medium == new:
            return medium, Outcome.DONE
        if medium == old:
            return medium, Outcome.NOT_BEGUN
        if whole_copies(medium) and not self._is_mixture(medium):
            return medium, Outcome.OVERTAKEN
        return (new, Outcome.FINISHED) if _has_new_copy(medium, old, new) else (old, Outcome.UNDONE)

    def _applied(self, medium: bytes, *, after: bool) -> bytes:
        result = bytearray(medium)
        for change in self.changes:
            data = change.after if after else change.before
            result[change.offset : change.offset + len(data)] = data
        return bytes(result)

    def _is_mixture(self, medium: bytes) -> bool:
        return all(_mixed(medium, change) for change in self.changes)


def _mixed(medium: bytes, change: Change) -> bool:
    for start in range(0, len(change.before), SECTOR):
        found = _cut(medium, change.offset + start, SECTOR)
        if found not in (change.before[start : start + SECTOR], change.after[start : start + SECTOR]):
            return False
    return True


def _has_new_copy(medium: bytes, old: bytes, new: bytes) -> bool:
    """Whether a copy that differs between ``old`` and ``new`` is the new one, whole."""
    places = [slice(place.offset, place.offset + place.size) for place in header_places(new)]
    return any(medium[place] == new[place] != old[place] for place in places)


def _cut(data: bytes, offset: int, length: int) -> bytes:
    return data[offset : offset + length]


def _digest(changes: list[Any]) -> str:
    return hashlib.sha256(json.dumps(changes).encode()).hexdigest()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
