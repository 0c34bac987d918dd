"""The container's header on the array: found as it should be, and changed so that a crash costs no key.

Before a change the header is backed up, and what is about to be written is kept in a journal
(:mod:`twinlock.luks.journal`), both durably; then the steps of :mod:`twinlock.luks.rewrite`, each flushed;
then the journal goes.  A journal that is found was left by a crash: the change is finished or undone at the
next opening.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
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

log = logging.getLogger(__name__)


class Source(Protocol):
    """The array, or its members before they are an array that runs.  ``size`` in bytes."""

    @property
    def size(self) -> int:
        """Bytes."""

    def read(self, offset: int, length: int) -> Buffer:
        """See :meth:`twinlock.block.device.BlockDevice.read`."""


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


def find_header(source: Source, store: HeaderStore | None) -> FoundHeader:
    """Read the header, and repair the copy of it; nothing is written.

    Raises ContainerUnsupported if there is none.
    """
    journal = None if store is None else store.journal()
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


def settle_header(device: Medium, store: HeaderStore | None, volume: str) -> bytes:
    """The header as it should be, on the medium, too; for what is about to change it."""
    found = find_header(device, store)
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


def read_leniently(source: Source, length: int) -> bytes:
    """The first bytes of the array; blocks that no member can read are zero: one copy of two is enough."""
    pieces = (_piece(source, start, min(_PIECE, length - start)) for start in range(0, length, _PIECE))
    return b"".join(pieces)


# -- inside ---------------------------------------------------------------------------------------


def _read(source: Source, length: int) -> bytes:
    try:
        return read_leniently(source, length)
    except DeviceError as error:
        raise ContainerUnsupported(reason=f"its header cannot be read ({error})") from error


def _needed(store: HeaderStore | None) -> HeaderStore:
    if store is None:
        raise HeaderBackupUnusable(path="(no folder)", reason="there is no place to keep one")
    return store


def _whole_area(source: Source, medium: bytes, settled: bytes, least: int) -> tuple[bytes, bytes]:
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
    store.finish()
    return kept


def _carry_out(device: Medium, steps: tuple[Step, ...]) -> None:
    try:
        for step in steps:
            for write in step.writes:
                device.write(write.offset, write.data)
            device.flush()
    except DeviceError as error:
        raise HeaderNotWritten(reason=error) from error


def _compare(device: Source, wanted: bytes) -> None:
    try:
        if read_leniently(device, len(wanted)) != wanted:
            raise HeaderNotWritten(reason="it reads differently from what was written")
    except DeviceError as error:
        raise HeaderNotWritten(reason=error) from error


def _piece(source: Source, start: int, length: int) -> bytes:
    try:
        return bytes(source.read(start, length))
    except MediumError:
        return b"".join(_block(source, offset) for offset in range(start, start + length, BLOCK))


def _block(source: Source, offset: int) -> bytes:
    try:
        return bytes(source.read(offset, BLOCK))
    except MediumError:
        return bytes(BLOCK)
