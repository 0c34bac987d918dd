"""WRITE AND VERIFY in its three lengths."""

import pytest

from tests.unit.scsi.support import BLOCKS, INVALID_FIELD, LBA_OUT_OF_RANGE, SHORT_DATA, disk, fault, run
from tests.unit.scsi.test_read_write import cdb
from twinlock.scsi.operations import GOOD, Compared, Result, Status, WriteVerify

OPCODES = {10: 0x2E, 12: 0xAE, 16: 0x8E}
SIZES = sorted(OPCODES)
MEDIUM, BYTES = 0 << 1, 1 << 1
DATA = bytes(range(256)) * 4


def write(size: int, block: int, count: int, flags: int = BYTES) -> bytes:
    return cdb(OPCODES[size], size, block, count, flags)


@pytest.mark.parametrize("size", SIZES)
def test_written_and_found_equal(size: int) -> None:
    unit = disk()
    operation = run(unit, write(size, 3, 2), DATA)
    assert operation == WriteVerify(3 * 512, DATA, True, 1024)
    assert isinstance(operation, WriteVerify)
    assert unit.finish(operation, Compared(None)) == Result(Status.GOOD, data_out_used=1024)
    found = fault(unit.finish(operation, Compared(700)))
    assert (found.code, found.information) == ((0xE, 0x1D, 0), 4)


@pytest.mark.parametrize("size", SIZES)
def test_written_and_readable(size: int) -> None:
    unit = disk()
    operation = run(unit, write(size, 3, 2, MEDIUM | 0x10), DATA)
    assert operation == WriteVerify(3 * 512, DATA, False, 1024)
    assert isinstance(operation, WriteVerify)
    assert unit.finish(operation) == Result(Status.GOOD, data_out_used=1024)


@pytest.mark.parametrize("size", SIZES)
def test_what_came_is_written(size: int) -> None:
    unit = disk()
    assert run(unit, write(size, 3, 2), DATA[:512]) == WriteVerify(3 * 512, DATA[:512], True, 1024)
    assert run(unit, write(size, 3, 1), DATA) == WriteVerify(3 * 512, DATA[:512], True, 512)
    assert run(unit, write(size, 3, 1)) == Result(Status.GOOD, data_out_used=512)
    assert fault(run(unit, write(size, 3, 2), DATA[:200])).code == SHORT_DATA


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("flags", "field"), [(2 << 1, (1, 2)), (3 << 1, (1, 2)), (0x20 | BYTES, (1, 7))])
def test_refused_flags(size: int, flags: int, field: tuple[int, int]) -> None:
    found = fault(run(disk(), write(size, 0, 1, flags), DATA))
    assert (found.code, found.field) == (INVALID_FIELD, field)


@pytest.mark.parametrize("size", SIZES)
def test_ranges(size: int) -> None:
    unit = disk()
    assert run(unit, write(size, BLOCKS, 0)) == GOOD
    for block, count in [(BLOCKS + 1, 0), (BLOCKS, 1), (BLOCKS - 1, 2), (0xFFFFFFFF, 0)]:
        assert fault(run(unit, write(size, block, count), DATA)).code == LBA_OUT_OF_RANGE
    assert fault(run(unit, write(size, 0, 16385), DATA)).code == INVALID_FIELD
    assert fault(run(disk(read_only=True), write(size, 0, 1), DATA)).code == (7, 0x27, 0)
