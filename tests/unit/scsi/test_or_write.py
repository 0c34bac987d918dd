"""ORWRITE (16): a write whose result depends on what was there."""

import pytest

from tests.unit.scsi.support import BLOCKS, INVALID_FIELD, LBA_OUT_OF_RANGE, SHORT_DATA, disk, fault, run
from tests.unit.scsi.test_read_write import cdb
from twinlock.scsi.operations import GOOD, OrWrite, Result, Status

DATA = b"\xa5" * 1024


def orwrite(block: int, count: int, flags: int = 0) -> bytes:
    return cdb(0x8B, 16, block, count, flags)


def test_bits_are_set() -> None:
    unit = disk()
    operation = run(unit, orwrite(3, 2), DATA)
    assert operation == OrWrite(3 * 512, DATA, wanted=1024)
    assert isinstance(operation, OrWrite)
    assert unit.finish(operation) == Result(Status.GOOD, data_out_used=1024)
    assert run(unit, orwrite(3, 2, 0x18), DATA) == OrWrite(3 * 512, DATA, True, 1024)


def test_what_came_is_used_and_the_rest_is_a_residual() -> None:
    unit = disk()
    assert run(unit, orwrite(3, 2), DATA[:512]) == OrWrite(3 * 512, DATA[:512], wanted=1024)
    assert run(unit, orwrite(3, 1), DATA) == OrWrite(3 * 512, DATA[:512], wanted=512)
    assert run(unit, orwrite(3, 1)) == Result(Status.GOOD, data_out_used=512)
    assert fault(run(unit, orwrite(3, 2), DATA[:600])).code == SHORT_DATA


@pytest.mark.parametrize(("block", "count"), [(BLOCKS, 1), (BLOCKS - 1, 2), (BLOCKS + 1, 0), (1 << 63, 0)])
def test_ranges(block: int, count: int) -> None:
    assert fault(run(disk(), orwrite(block, count), DATA)).code == LBA_OUT_OF_RANGE


def test_no_blocks_and_too_many() -> None:
    assert run(disk(), orwrite(BLOCKS, 0)) == GOOD
    assert fault(run(disk(), orwrite(0, 16385))).code == INVALID_FIELD


def test_refusals() -> None:
    assert fault(run(disk(), orwrite(0, 2, 0x20), DATA)).field == (1, 7)
    assert fault(run(disk(read_only=True), orwrite(0, 2), DATA)).code == (7, 0x27, 0)
