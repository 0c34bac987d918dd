"""PRE-FETCH: a hint, answered with GOOD."""

import pytest

from tests.unit.scsi.support import BLOCKS, LBA_OUT_OF_RANGE, disk, fault, run
from twinlock.scsi.geometry import Geometry
from twinlock.scsi.operations import GOOD, Prefetch, Result, Status

SIZES = (10, 16)


def prefetch(size: int, block: int, count: int, flags: int = 0) -> bytes:
    if size == 10:
        return bytes([0x34, flags, *block.to_bytes(4, "big"), 3, *count.to_bytes(2, "big"), 0])
    return bytes([0x90, flags, *block.to_bytes(8, "big"), *count.to_bytes(4, "big"), 3, 0])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("immediate", [0, 2])
def test_a_range(size: int, immediate: int) -> None:
    unit = disk()
    operation = run(unit, prefetch(size, 3, 5, immediate))
    assert operation == Prefetch(3 * 512, 5 * 512)
    assert isinstance(operation, Prefetch)
    assert unit.finish(operation) == Result(Status.GOOD)


@pytest.mark.parametrize("size", SIZES)
def test_to_the_end_and_no_more_than_a_transfer(size: int) -> None:
    assert run(disk(), prefetch(size, BLOCKS - 9, 0)) == Prefetch((BLOCKS - 9) * 512, 9 * 512)
    assert run(disk(), prefetch(size, BLOCKS, 0)) == GOOD
    unit = disk(Geometry(1 << 20))
    for count in (0, 20000):
        assert run(unit, prefetch(size, 8, count)) == Prefetch(8 * 512, 8 << 20)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("block", "count"), [(BLOCKS, 1), (BLOCKS - 1, 2), (BLOCKS + 1, 0)])
def test_ranges(size: int, block: int, count: int) -> None:
    assert fault(run(disk(), prefetch(size, block, count))).code == LBA_OUT_OF_RANGE


def test_a_read_only_disk_may_be_read_ahead() -> None:
    assert isinstance(run(disk(read_only=True), prefetch(10, 0, 1)), Prefetch)
