"""Mechanisms that can be switched off, one at a time, to see that the harness notices."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twinlock.block.checked.device import CheckedDevice
from twinlock.block.checked.table import ChecksumTable
from twinlock.block.mirror import data_path, reading
from twinlock.block.mirror.intent import WriteIntent
from twinlock.block.mirror.member import Member
from twinlock.block.mirror.record import Record
from twinlock.block.mirror.resync import Resync
from twinlock.block.mirror.suspects import Suspects


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
    "repair of reads": ((reading, "mend_copies", _nothing),),
    "checksum verify": ((CheckedDevice, "first_wrong", lambda _self, _offset, _data: None),),
    "binding of the table": ((Member, "store_superblock", _volatile),),
    "needs of a write without room": ((data_path.DataPath, "_settle", None),),
}


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


_SETTLE = data_path.DataPath._settle
SWITCHES["resync"] = ((Resync, "_copy_or_postpone", _copied),)
SWITCHES["needs of a write without room"] = ((data_path.DataPath, "_settle", _settle_without_need),)


@contextmanager
def without(name: str | None) -> Iterator[None]:
    """Within, the mechanism is off."""
    patches = SWITCHES[name] if name is not None else ()
    before = [getattr(owner, attribute) for owner, attribute, _ in patches]
    for owner, attribute, instead in patches:
        setattr(owner, attribute, instead)
    try:
        yield
    finally:
        for (owner, attribute, _), original in zip(patches, before, strict=True):
            setattr(owner, attribute, original)
