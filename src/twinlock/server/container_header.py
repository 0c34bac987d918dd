"""The container's header on the array: found as it should be, and changed so that a crash costs no key.

Before a change the header is backed up, and what is about to be written is kept in a journal
(:mod:`twinlock.luks.journal`), both durably; then the steps of :mod:`twinlock.luks.rewrite`, each flushed;
then the journal goes.  A journal that is found was left by a crash: the change is finished or undone at the
next opening.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from typing_extensions import Buffer

from twinlock.errors import (
    ContainerUnsupported,
    DeviceError,
    HeaderBackupUnusable,
    HeaderNotWritten,
    MediumError,
)
from twinlock.luks.backup import area_length, backup_of, repaired
from twinlock.luks.container import PROBE_LENGTH
from twinlock.luks.copies import BLOCK, whole_copies
from twinlock.luks.journal import Journal, Outcome
from twinlock.luks.rescue import with_header_of
from twinlock.luks.rewrite import Step, Unordered, plan, plan_replacement
from twinlock.server.header_store import HeaderStore
from twinlock.units import MIB, round_down

COPIES_2 = 2
"""Copies of a header in LUKS2."""
_PIECE = MIB
_NEWS = {
    Outcome.FINISHED: "a change of keys that was cut off is finished",
    Outcome.UNDONE: "a change of keys that was cut off is undone: the keys are those before it",
    Outcome.OVERTAKEN: "a change of keys was cut off, but the header was changed since; it stays so",
}

_ANOTHER_HEADER = "on one member no copy of the container's header is whole; it is taken from another member"

log = logging.getLogger(__name__)


class Readable(Protocol):
    """``size`` in bytes."""

    @property
    def size(self) -> int:
        """Bytes."""

    def read(self, offset: int, length: int) -> Buffer:
        """See :meth:`twinlock.block.device.BlockDevice.read`."""


class Source(Readable, Protocol):
    """The array, or its members before they are an array that runs."""

    def copies(self) -> Sequence["Readable"]:
        """What each member in sync holds, the preferred one's first; see :mod:`twinlock.luks.rescue`."""


class Medium(Source, Protocol):
    """What can be written to, and flushed."""

    def write(self, offset: int, data: Buffer) -> None:
        """See :meth:`twinlock.block.device.BlockDevice.write`."""

    def flush(self) -> None:
        """See :meth:`twinlock.block.device.BlockDevice.flush`."""


@dataclass(frozen=True, slots=True)
class FoundHeader:
    """The header area in whole blocks: as the medium has it, as it should be, and what the difference is.

    ``journaled``: the blocks of a change that was cut off, of which one member may hold more than another,
    and the page cache more than the medium.
    """

    medium: bytes = field(repr=False)
    good: bytes = field(repr=False)
    news: tuple[str, ...] = ()
    was_journaled: bool = False
    journaled: frozenset[int] = frozenset()
    is_rescued: bool = False
    """Something in it is as one member alone has it."""

    def rescued(self, header: bytes, news: str) -> "FoundHeader":
        """With something in it as another member has it."""
        return replace(self, good=header, news=(*self.news, news), is_rescued=True)


def find_header(source: Source, store: HeaderStore | None) -> FoundHeader:
    """Read the header, and repair the copy of it; nothing is written.

    If what is read has no copy that is whole, the members are asked one by one.  Raises ContainerUnsupported
    if there is none.
    """
    journal = None if store is None else store.journal()
    try:
        return _look(source, journal)
    except ContainerUnsupported:
        found = next(_elsewhere(source, journal), None)
        if found is None:
            raise
        return found


def _elsewhere(source: Source, journal: Journal | None) -> Iterator[FoundHeader]:
    """The header as a single member has it, with the key material that is read."""
    for copy in source.copies():
        with contextlib.suppress(ContainerUnsupported):
            there = _look(copy, journal)
            medium = _read(source, len(there.good))
            good = with_header_of(medium, there.good)
            yield replace(there, medium=medium).rescued(good, _ANOTHER_HEADER)


def _look(source: Readable, journal: Journal | None) -> FoundHeader:
    length = min(PROBE_LENGTH if journal is None else max(PROBE_LENGTH, journal.end), source.size)
    medium = _read(source, round_down(length, BLOCK))
    settled, outcome = (medium, None) if journal is None else journal.settle(medium)
    medium, settled = _whole_area(source, medium, settled, 0 if journal is None else journal.end)
    good = repaired(settled, array_size=source.size)
    told = (_NEWS.get(outcome) if outcome else None, _copies_news(settled, good))
    again = frozenset[int]() if journal is None or outcome is Outcome.OVERTAKEN else journal.blocks
    return FoundHeader(medium, good, tuple(each for each in told if each), journal is not None, again)


def write_back(device: Medium, found: FoundHeader, store: HeaderStore | None, volume: str) -> None:
    """Put what was repaired on the medium; the volume's log hears of it.  Raises HeaderNotWritten.

    What a journal speaks of is written again, and flushed, on every member before the journal goes.
    """
    steps = plan_replacement(found.medium, found.good, found.journaled)
    for news in found.news:
        log.warning("volume %s: %s", volume, news)
    _carry_out(device, steps)
    if store is not None and found.was_journaled:
        store.finish()


def settle_header(
    device: Medium, store: HeaderStore | None, volume: str, known: FoundHeader | None = None
) -> bytes:
    """The header as it should be, on the medium, too; for what is about to change it.

    ``known``: what was rescued of it, if the medium still holds what it held then.
    """
    found = find_header(device, store)
    if known is not None and known.is_rescued and found.medium == known.medium:
        found = known
    write_back(device, found, store, volume)
    return found.good


def change_header(device: Medium, store: HeaderStore | None, before: bytes, after: bytes, now: float) -> Path:
    """Change a header that is ``before`` on the medium; where its backup is kept.

    Raises HeaderBackupUnusable with nothing changed, HeaderNotWritten if the medium failed on the way.
    """
    return _change(device, _needed(store), plan, before, after, now)


def replace_header(
    device: Medium, store: HeaderStore | None, before: bytes, after: bytes, now: float
) -> Path:
    """As :func:`change_header`, with key material that changes in its place, or with no header there."""
    return _change(device, _needed(store), plan_replacement, before, after, now)


def read_leniently(source: Readable, length: int) -> bytes:
    """The first bytes of the array; blocks that no member can read are zero: one copy of two is enough."""
    pieces = (_piece(source, start, min(_PIECE, length - start)) for start in range(0, length, _PIECE))
    return b"".join(pieces)


# -- inside ---------------------------------------------------------------------------------------


def _read(source: Readable, length: int) -> bytes:
    try:
        return read_leniently(source, length)
    except DeviceError as error:
        raise ContainerUnsupported(reason=f"its header cannot be read ({error})") from error


def _needed(store: HeaderStore | None) -> HeaderStore:
    if store is None:
        raise HeaderBackupUnusable(path="(no folder)", reason="there is no place to keep one")
    return store


def _whole_area(source: Readable, medium: bytes, settled: bytes, least: int) -> tuple[bytes, bytes]:
    length = min(max(least, area_length(settled[:PROBE_LENGTH])), round_down(source.size, BLOCK))
    if length > len(medium):
        rest = _read(source, length)[len(medium) :]
        medium, settled = medium + rest, settled + rest
    return medium[:length], settled[:length]


def _copies_news(settled: bytes, good: bytes) -> str | None:
    if settled == good:
        return None
    if len(whole_copies(settled)) < COPIES_2:
        return "one of the two copies of the container's header was damaged; it is repaired"
    return "the two copies of the container's header differed, as after a crash; the older one is renewed"


def _change(
    device: Medium,
    store: HeaderStore,
    order: Callable[[bytes, bytes], tuple[Step, ...]],
    before: bytes,
    after: bytes,
    now: float,
) -> Path:
    try:
        steps = order(before, after)
    except Unordered as error:
        raise ContainerUnsupported(reason=f"its header cannot be changed safely: {error}") from error
    kept = store.keep(backup_of(before) if whole_copies(before) else before, now)
    store.begin(Journal.of(before, steps))
    _carry_out(device, steps)
    _compare(device, after)
    _finish(store)
    return kept


def _finish(store: HeaderStore) -> None:
    """The header is changed, whatever becomes of the journal; a removed key is in that still."""
    try:
        store.finish()
    except HeaderBackupUnusable as error:
        reason = f"its journal stays in {error.context['path']}: {error.context['reason']}"
        raise HeaderNotWritten(reason=reason) from error


def _carry_out(device: Medium, steps: tuple[Step, ...]) -> None:
    try:
        for step in steps:
            for write in step.writes:
                device.write(write.offset, write.data)
            device.flush()
    except DeviceError as error:
        raise HeaderNotWritten(reason=error) from error


def _compare(device: Readable, wanted: bytes) -> None:
    try:
        if read_leniently(device, len(wanted)) != wanted:
            raise HeaderNotWritten(reason="it reads differently from what was written")
    except DeviceError as error:
        raise HeaderNotWritten(reason=error) from error


def _piece(source: Readable, start: int, length: int) -> bytes:
    try:
        return bytes(source.read(start, length))
    except MediumError:
        return b"".join(_block(source, offset) for offset in range(start, start + length, BLOCK))


def _block(source: Readable, offset: int) -> bytes:
    try:
        return bytes(source.read(offset, BLOCK))
    except MediumError:
        return bytes(BLOCK)
