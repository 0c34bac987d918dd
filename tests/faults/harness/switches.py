"""Mechanisms that can be switched off, one at a time, to see that the harness notices."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.faults.harness.rig import Setup
from twinlock.block.checked.device import CheckedDevice
from twinlock.block.checked.table import ChecksumTable
from twinlock.block.mirror import data_path, reading
from twinlock.block.mirror.intent import WriteIntent
from twinlock.block.mirror.member import Member
from twinlock.block.mirror.ranges import RangeLock
from twinlock.block.mirror.record import Record
from twinlock.block.mirror.resync import Resync
from twinlock.block.mirror.suspects import Suspects
from twinlock.errors import SpaceExhausted
from twinlock.server import container_header
from twinlock.server.header_store import HeaderStore


def _nothing(*_arguments: object, **_options: object) -> None:
    """The mechanism is off."""


def _unrecorded(record: Record, broken: Any) -> None:
    record._expel(broken)
    record.recorded = True


def _unflushed(intent: WriteIntent, _flush: Callable[[], None]) -> None:
    _SWEEP(intent, lambda: None)


def _volatile(member: Member, superblock: Any) -> None:
    """A superblock without a word to the table before."""
    checked, member.checked = member.checked, None
    _STORE(member, superblock)
    member.checked = checked


def _data_only(device: CheckedDevice) -> None:
    device.lower.flush()


def _flush_first_only(path: Any) -> None:
    broken = data_path._on_each(path._record.readers[:1], lambda device: device.flush())
    if broken:
        path._record.fail(broken)
    path._record.settle()


def _first_only(record: Record, _observer: object, place: int, size: int, _asked: int) -> bytes:
    """What the preferred member says, be it an error."""
    return bytes(record.readers[0].data.read(place, size))


def _at_once(ranges: RangeLock, start: int, end: int) -> tuple[int, int]:
    """Nobody waits for anybody."""
    ranges._queue.append((start, end))
    return start, end


_SWEEP = WriteIntent.sweep
_STORE = Member.store_superblock
SWITCHES: dict[str, tuple[tuple[object, str, object], ...]] = {
    "bitmap write": ((Record, "mark", _nothing),),
    "failure record": ((Record, "fail", _unrecorded),),
    "flush before bits are cleared": ((WriteIntent, "sweep", _unflushed),),
    "flush of the table": ((ChecksumTable, "flush", _nothing),),
    "flush of every member": ((data_path.DataPath, "_flush", _flush_first_only),),
    "suspects": ((Suspects, "covers", lambda _self, _offset: False),),
    "resync": ((Resync, "_copy_or_postpone", None),),
    "answer of another member": ((reading, "_any", _first_only),),
    "repair of reads": ((reading, "mend_copies", _nothing),),
    "checksum verify": ((CheckedDevice, "first_wrong", lambda _self, _offset, _data: None),),
    "binding of the table": ((Member, "store_superblock", _volatile),),
    "needs of a write without room": ((data_path.DataPath, "_settle", None),),
    "failure of a write": ((data_path.DataPath, "_settle", None),),
    "failure of a flush": ((data_path.DataPath, "_flush", None),),
    "journal of a header change": ((HeaderStore, "begin", _nothing),),
    "flush of a header change": ((container_header, "_carry_out", None),),
}
"""Whose attributes are replaced, and by what."""
_CONTAINER = ("journal of a header change", "flush of a header change")
_CHECKSUMS = ("flush of the table", "suspects", "checksum verify", "binding of the table")


def setup_without(name: str | None) -> Setup | None:
    """The array on which a mechanism matters; None: any."""
    if name in _CONTAINER:
        return Setup(container=True)
    return Setup() if name in _CHECKSUMS else None


def _copied(resync: Resync, position: int) -> None:
    """A chunk counts as copied, and was not."""
    chunk = position // resync._chunk_size
    resync._position = None
    resync._copying.end()
    resync._intent.copied(chunk)


def _settle_without_need(path: Any, broken: Any, chunks: Any) -> None:
    need, path._intent.need = path._intent.need, _nothing
    try:
        _SETTLE(path, broken, chunks)
    finally:
        path._intent.need = need


def _ignoring_failures(path: Any, broken: Any, chunks: Any) -> None:
    """Who could not take a write stays in the array, unless nobody could."""
    full = {member: error for member, error in broken.items() if isinstance(error, SpaceExhausted)}
    if full or len(broken) == len(path._record.writers):
        _SETTLE(path, broken, chunks)


def _flush_whoever_can(path: Any) -> None:
    data_path._on_each(path._record.readers, lambda device: device.flush())
    path._record.settle()


def _unflushed_steps(device: Any, steps: Any) -> None:
    for step in steps:
        for write in step.writes:
            device.write(write.offset, write.data)


_SETTLE = data_path.DataPath._settle
SWITCHES["resync"] = ((Resync, "_copy_or_postpone", _copied),)
SWITCHES["needs of a write without room"] = ((data_path.DataPath, "_settle", _settle_without_need),)

SWITCHES["failure of a write"] = ((data_path.DataPath, "_settle", _ignoring_failures),)
SWITCHES["failure of a flush"] = ((data_path.DataPath, "_flush", _flush_whoever_can),)
SWITCHES["flush of a header change"] = ((container_header, "_carry_out", _unflushed_steps),)


FOR_TWO: dict[str, tuple[tuple[object, str, object], ...]] = {
    "order of overlapping writes": ((RangeLock, "acquire", _at_once),),
}
"""As SWITCHES, of mechanisms that one user at a time never needs."""


@contextmanager
def without(name: str | None) -> Iterator[None]:
    """Within, the mechanism is off."""
    patches = (SWITCHES | FOR_TWO)[name] if name is not None else ()
    before = [getattr(owner, attribute) for owner, attribute, _ in patches]
    for owner, attribute, instead in patches:
        setattr(owner, attribute, instead)
    try:
        yield
    finally:
        for (owner, attribute, _), original in zip(patches, before, strict=True):
            setattr(owner, attribute, original)
