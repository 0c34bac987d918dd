"""Reads that a member cannot answer: asked of the others, block by block, and put right."""

from collections.abc import Iterable

from typing_extensions import Buffer

from twinlock.block.mirror.layout import BLOCK
from twinlock.block.mirror.member import Member
from twinlock.block.mirror.record import Record
from twinlock.block.observer import Observer
from twinlock.errors import DeviceError, MediumError, SpaceExhausted


def read_anywhere(record: Record, observer: Observer, offset: int, length: int) -> Buffer:
    """The range, each 4 KiB of it from the first member in sync that can read it.

    Members that could not are rewritten from the one that could.  The caller holds the range.  Raises
    MediumError, with the offset of the block, if no member can read a block.
    """
    return b"".join(_block(record, observer, start, size) for start, size in _blocks(offset, length))


def _blocks(offset: int, length: int) -> Iterable[tuple[int, int]]:
    end = offset + length
    while offset < end:
        size = min(BLOCK - offset % BLOCK, end - offset)
        yield offset, size
        offset += size


def _block(record: Record, observer: Observer, offset: int, size: int) -> Buffer:
    broken: dict[Member, DeviceError] = {}
    for member in record.readers:
        try:
            data = member.data.read(offset, size)
        except DeviceError as error:
            broken[member] = error
            continue
        _mend(record, observer, broken, offset, data)
        return data
    first = next(iter(broken.values()))
    raise MediumError(f"no member can read the block: {first}", offset=offset) from first


def _mend(
    record: Record, observer: Observer, broken: dict[Member, DeviceError], offset: int, data: Buffer
) -> None:
    """Rewrite what could not be read; a member that refuses that too is failed, as md does."""
    refused: dict[Member, DeviceError] = {}
    for member in broken:
        try:
            member.data.write(offset, data)
        except SpaceExhausted as error:
            observer.space_exhausted(member.role or 0, error)
        except DeviceError as error:
            refused[member] = error
        else:
            member.corrected_reads += 1
            observer.read_repaired(member.role or 0, offset, memoryview(data).nbytes)
    if refused:
        record.fail(refused)
