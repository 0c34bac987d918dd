"""In which order a changed header goes back to the medium, so that a crash never leaves it without a key.

A pure function of the header area before and after.  Each step is flushed before the next:

1. *material*: key material into blocks that no copy named before.  Nobody looks there yet.
2. *copy*: the header's copies, one after the other.  While one is being written the other is whole and names
   areas that are untouched: the old keys open.  Once the first new one is whole, the new ones do.
3. *wipe*: what the new copies do not name.

A block that was named before and is named after, with other contents, fits into none of these.  It is
refused; only a header's backup may be put back so (:func:`plan_replacement`), from a journal that outlives
the crash. LUKS1 has one copy.  Its writes have the same order, and its journal repairs the one that was
cut in two.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from twinlock.luks.copies import BLOCK, Area, Copy, header_places, named, whole_copies


class Unordered(Exception):
    """Key material would be overwritten that is still needed."""


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes for one place, whole blocks."""

    offset: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Step:
    """Writes that may reach the medium in any order; a flush follows."""

    kind: str
    writes: tuple[Write, ...]


def plan(before: bytes, after: bytes) -> tuple[Step, ...]:
    """The steps from ``before`` to ``after``, both header areas of the same length in whole blocks.

    ``before`` is what the medium holds, with one copy damaged or not.  Raises :class:`Unordered`.
    """
    changed = _changed(before, after)
    clashing = changed & named(whole_copies(before)) & named(whole_copies(after))
    if clashing:
        raise Unordered(f"{len(clashing)} blocks of key material are needed as they are")
    return _steps(before, after, changed)


def plan_replacement(before: bytes, after: bytes, also: frozenset[int] = frozenset()) -> tuple[Step, ...]:
    """As :func:`plan`, also where key material changes in its place: safe with a journal only.

    The blocks ``also`` are written whether they seem to differ or not.
    """
    return _steps(before, after, _changed(before, after) | also)


def _steps(before: bytes, after: bytes, changed: set[int]) -> tuple[Step, ...]:
    places = header_places(after)
    if not places:
        raise Unordered("there would be no header")
    headers = {block for place in places for block in place.blocks}
    material = (named(whole_copies(after)) & changed) - headers
    steps = [Step("material", _writes(after, material))]
    for place in _in_order(places, whole_copies(before)):
        steps.append(Step("copy", _writes(after, changed & set(place.blocks))))
    steps.append(Step("wipe", _writes(after, changed - material - headers)))
    return tuple(step for step in steps if step.writes)


def _in_order(places: tuple[Area, ...], whole: tuple[Copy, ...]) -> Iterable[Area]:
    """The copy that is not whole first: the other one is all there is until it is."""
    return sorted(places, key=lambda place: any(copy.place == place for copy in whole) and len(whole) == 1)


def _changed(before: bytes, after: bytes) -> set[int]:
    if len(before) != len(after) or len(before) % BLOCK:
        raise ValueError("header areas of one length, in whole blocks")
    return {
        number
        for number in range(len(before) // BLOCK)
        if before[number * BLOCK : (number + 1) * BLOCK] != after[number * BLOCK : (number + 1) * BLOCK]
    }


def _writes(after: bytes, blocks: set[int]) -> tuple[Write, ...]:
    return tuple(
        Write(start * BLOCK, after[start * BLOCK : stop * BLOCK]) for start, stop in _runs(sorted(blocks))
    )


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        yield run[0], run[-1] + 1
