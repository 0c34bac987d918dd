"""Where power fails: after so many operations, or at a point that has a name.

A point is recognised by where the operations go.  It is told of each before it is done, and of what the
array is doing at that moment; when it says so, that operation is cut off.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.faults.harness.areas import Area


@dataclass(frozen=True, slots=True)
class Operation:
    """``kind`` as in :mod:`twinlock.block.faulty`; ``during`` is what the array was told to do."""

    disk: int
    kind: str
    area: Area
    offset: int
    during: str

    @property
    def writes(self) -> bool:
        """True for a write."""
        return self.kind == "w"


Previous: TypeAlias = Operation | None
Recognises: TypeAlias = Callable[[Operation, Previous], bool]
"""Told an operation and the one before it that was no read."""


def _to(operation: Previous, *areas: Area) -> bool:
    return operation is not None and operation.writes and operation.area in areas


def _between_bitmap_and_data(now: Operation, before: Previous) -> bool:
    return _to(now, Area.DATA) and _to(before, Area.BITMAP)


def _between_bitmaps(now: Operation, before: Previous) -> bool:
    return _to(now, Area.BITMAP) and _to(before, Area.BITMAP) and now.disk != getattr(before, "disk", None)


def _between_members(now: Operation, before: Previous) -> bool:
    same = before is not None and before.offset == now.offset and before.disk != now.disk
    return _to(now, Area.DATA) and _to(before, Area.DATA) and same


def _between_table_and_data(now: Operation, before: Previous) -> bool:
    return now.kind == "f" and _to(before, Area.TABLE)


def _before_the_table(now: Operation, before: Previous) -> bool:
    return _to(now, Area.TABLE) and not _to(before, Area.TABLE)


def _between_flushes(now: Operation, before: Previous) -> bool:
    return before is not None and before.kind == "f" and now.kind == "f" and now.disk != before.disk


def _between_binding_and_superblock(now: Operation, before: Previous) -> bool:
    return _to(now, Area.SUPERBLOCK) and _to(before, Area.TABLE_HEADER)


def _between_superblocks(now: Operation, before: Previous) -> bool:
    met = _to(now, Area.SUPERBLOCK, Area.TABLE_HEADER) and _to(before, Area.SUPERBLOCK)
    return met and before is not None and now.disk != before.disk


def _in(*areas: Area, during: str = "") -> Recognises:
    return lambda now, _before: _to(now, *areas) and now.during.startswith(during)


@dataclass(frozen=True, slots=True)
class Point:
    """``by``: the act that leads there, if not any does; ``during`` a container's life only, or not."""

    recognises: Recognises
    by: str | None = None
    container: bool = False


_HEADER = (Area.COPY_1, Area.COPY_2, Area.KEYS)
_KEYS = "key change"


def _flush_of_header(now: Operation, before: Previous) -> bool:
    return now.kind == "f" and _to(before, *_HEADER) and now.during == _KEYS


def _between_members_of_header(now: Operation, before: Previous) -> bool:
    same = before is not None and before.offset == now.offset and before.disk != now.disk
    return _to(now, *_HEADER) and _to(before, *_HEADER) and same and now.during == _KEYS


POINTS: dict[str, Point] = {
    "between bitmap and data": Point(_between_bitmap_and_data),
    "between the bitmaps of two members": Point(_between_bitmaps),
    "between the two members": Point(_between_members),
    "between checksum table and data": Point(_between_table_and_data),
    "before the checksum table": Point(_before_the_table),
    "between the flushes of two members": Point(_between_flushes),
    "inside a superblock": Point(_in(Area.SUPERBLOCK)),
    "inside a bitmap": Point(_in(Area.BITMAP)),
    "inside a table header": Point(_in(Area.TABLE_HEADER)),
    "between table header and superblock": Point(_between_binding_and_superblock),
    "between the superblocks of two members": Point(_between_superblocks),
    "inside resync": Point(_in(Area.DATA, during="step")),
    "at the bitmap in the background": Point(_in(Area.BITMAP, during="step")),
    "inside a start": Point(_in(Area.SUPERBLOCK, Area.BITMAP, Area.TABLE_HEADER, during="start")),
    "inside a repair of a read": Point(_in(Area.DATA, during="read"), "read of a bad sector"),
    "inside add": Point(_in(*Area, during="add"), "add"),
    "inside replace": Point(_in(*Area, during="replace"), "replace"),
    "inside grow": Point(_in(*Area, during="grow"), "grow"),
    "inside a failure's record": Point(_in(Area.SUPERBLOCK, Area.BITMAP, during="fail"), "fail"),
    "inside a stop": Point(_in(*Area, during="stop"), "stop"),
    "inside the first copy of a header": Point(_in(Area.COPY_1, during=_KEYS), _KEYS, True),
    "inside the second copy of a header": Point(_in(Area.COPY_2, during=_KEYS), _KEYS, True),
    "inside key material": Point(_in(Area.KEYS, during=_KEYS), _KEYS, True),
    "between two steps of a key change": Point(_flush_of_header, _KEYS, True),
    "between the headers of two members": Point(_between_members_of_header, _KEYS, True),
}


def points_for(*, container: bool) -> list[str]:
    """The points that a life can meet."""
    return sorted(name for name, point in POINTS.items() if container or not point.container)


class PowerCut(BaseException):
    """The machine stops in the middle of an operation.  No handler of errors may hold it up."""


@dataclass(slots=True)
class Cutter:
    """Raises PowerCut at the ``count``-th operation that is the point, or the ``count``-th of all."""

    point: str | None
    count: int
    before: Previous = field(default=None)
    cut: bool = False

    def look(self, operation: Operation) -> None:
        """An operation is about to be done."""
        recognised = self.point is None or POINTS[self.point].recognises(operation, self.before)
        self.count -= recognised
        if operation.kind != "r":
            self.before = operation
        if self.cut or (recognised and self.count < 0):
            self.cut = True
            raise PowerCut
