"""WRITE SAME: one block for a range, also where the initiator would have it unmapped."""

import pytest

from tests.unit.scsi.support import BLOCKS, INVALID_FIELD, LBA_OUT_OF_RANGE, SHORT_DATA, disk, fault, run
from twinlock.scsi.geometry import Geometry
from twinlock.scsi.operations import Result, Status, WriteSame

BLOCK = b"ab" * 256
SIZES = (10, 16)
UNMAP, NDOB = 0x08, 0x01
MOST = 32768


def same(size: int, block: int, count: int, flags: int = 0) -> bytes:
    if size == 10:
        return bytes([0x41, flags, *block.to_bytes(4, "big"), 0, *count.to_bytes(2, "big"), 0])
    return bytes([0x93, flags, *block.to_bytes(8, "big"), *count.to_bytes(4, "big"), 0, 0])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("flags", [0, UNMAP])
def test_a_block_is_written_over_and_over(size: int, flags: int) -> None:
    unit = disk()
    operation = run(unit, same(size, 3, 5, flags), BLOCK)
    assert operation == WriteSame(3 * 512, 5 * 512, BLOCK, 512)
    assert isinstance(operation, WriteSame)
    assert unit.finish(operation) == Result(Status.GOOD, data_out_used=512)


@pytest.mark.parametrize("flags", [NDOB, NDOB | UNMAP])
def test_zeros_need_no_data(flags: int) -> None:
    assert run(disk(), same(16, 3, 5, flags)) == WriteSame(3 * 512, 5 * 512, bytes(512), 0)


@pytest.mark.parametrize("size", SIZES)
def test_a_count_of_none_means_to_the_end(size: int) -> None:
    assert run(disk(), same(size, BLOCKS - 7, 0), BLOCK) == WriteSame((BLOCKS - 7) * 512, 7 * 512, BLOCK, 512)
    assert run(disk(), same(size, 0, 0), BLOCK) == WriteSame(0, BLOCKS * 512, BLOCK, 512)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("block", "count"), [(BLOCKS, 0), (BLOCKS, 1), (BLOCKS - 1, 2), (0xFFFFFFFF, 0)])
def test_ranges(size: int, block: int, count: int) -> None:
    assert fault(run(disk(), same(size, block, count), BLOCK)).code == LBA_OUT_OF_RANGE


@pytest.mark.parametrize(("size", "field"), [(10, (7, None)), (16, (10, None))])
def test_the_maximum_length_holds_also_for_the_rest_of_the_disk(size: int, field: tuple[int, None]) -> None:
    unit = disk(Geometry(1 << 20))
    assert run(unit, same(size, 0, MOST), BLOCK) == WriteSame(0, MOST * 512, BLOCK, 512)
    assert isinstance(run(unit, same(size, (1 << 20) - MOST, 0), BLOCK), WriteSame)
    for block, count in [(0, MOST + 1), ((1 << 20) - MOST - 1, 0)]:
        found = fault(run(unit, same(size, block, count), BLOCK))
        assert (found.code, found.field) == (INVALID_FIELD, field)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("flags", "field"), [(0x20, (1, 7)), (0x10, (1, 4)), (0x18, (1, 4)), (0x04, (1, 2)), (0x02, (1, 1))]
)
def test_refused_flags(size: int, flags: int, field: tuple[int, int]) -> None:
    found = fault(run(disk(), same(size, 0, 1, flags), BLOCK))
    assert (found.code, found.field) == (INVALID_FIELD, field)


@pytest.mark.parametrize("size", SIZES)
def test_without_discard_nothing_can_be_unmapped(size: int) -> None:
    unit = disk(Geometry(100, discard=False))
    assert fault(run(unit, same(size, 0, 1, UNMAP), BLOCK)).field == (1, 3)
    assert isinstance(run(unit, same(size, 0, 1), BLOCK), WriteSame)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("length", [0, 511, 513, 1024])
def test_data_out_is_one_block(size: int, length: int) -> None:
    outcome = run(disk(), same(size, 0, 4), bytes(length))
    assert fault(outcome).code == SHORT_DATA
    assert isinstance(outcome, Result)
    assert outcome.transfer_wanted == 512


def test_a_block_is_as_long_as_the_disk_says() -> None:
    unit = disk(Geometry(100, 4096))
    assert run(unit, same(16, 1, 2), bytes(4096)) == WriteSame(4096, 8192, bytes(4096), 4096)
    assert fault(run(unit, same(16, 1, 2), bytes(512))).code == SHORT_DATA


def test_a_read_only_disk_refuses() -> None:
    assert fault(run(disk(read_only=True), same(16, 0, 1), BLOCK)).code == (7, 0x27, 0)
