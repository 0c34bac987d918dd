"""VERIFY: readable, equal, or equal block by block."""

import pytest

from tests.unit.scsi.support import BLOCKS, INVALID_FIELD, LBA_OUT_OF_RANGE, SHORT_DATA, disk, fault, run
from tests.unit.scsi.test_read_write import cdb
from twinlock.scsi.operations import GOOD, Compared, Result, Status, Verify

VERIFIES = {10: 0x2F, 12: 0xAF, 16: 0x8F}
SIZES = sorted(VERIFIES)
MEDIUM, BYTES, ONE_BLOCK = 0 << 1, 1 << 1, 3 << 1


def verify(size: int, block: int, count: int, flags: int) -> bytes:
    return cdb(VERIFIES[size], size, block, count, flags)


@pytest.mark.parametrize("size", SIZES)
def test_medium_only_needs_no_data(size: int) -> None:
    unit = disk()
    operation = run(unit, verify(size, 3, 2, MEDIUM), b"ignored")
    assert operation == Verify(3 * 512, 2 * 512)
    assert isinstance(operation, Verify)
    assert unit.finish(operation) == Result(Status.GOOD)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_equal_is_good(size: int) -> None:
    unit, data = disk(), bytes(range(256)) * 4
    operation = run(unit, verify(size, 3, 2, BYTES | 0x10), data)
    assert operation == Verify(3 * 512, 1024, data, 1024)
    assert isinstance(operation, Verify)
    assert unit.finish(operation, Compared(None)) == Result(Status.GOOD, data_out_used=1024)


@pytest.mark.parametrize("at", [0, 511, 512, 1023])
def test_what_differs_is_a_miscompare_at_its_block(at: int) -> None:
    unit, data = disk(), bytes(1024)
    operation = run(unit, verify(10, 3, 2, BYTES), data)
    assert isinstance(operation, Verify)
    result = unit.finish(operation, Compared(at))
    assert fault(result).code == (0xE, 0x1D, 0)
    assert fault(result).information == 3 + at // 512
    assert result.transfer_wanted == 1024


def test_one_block_is_compared_with_each() -> None:
    unit, block = disk(), b"ab" * 256
    operation = run(unit, verify(16, 8, 3, ONE_BLOCK), block)
    assert operation == Verify(8 * 512, 3 * 512, block, 512)
    assert isinstance(operation, Verify)
    assert unit.finish(operation, Compared(None)) == Result(Status.GOOD, data_out_used=512)
    assert fault(unit.finish(operation, Compared(1024))).information == 10


def test_one_block_takes_no_more_memory_than_one_block() -> None:
    operation = run(disk(), verify(16, 8, 1000, ONE_BLOCK), bytes(512))
    assert isinstance(operation, Verify)
    assert operation.compare is not None
    assert len(memoryview(operation.compare)) == 512


def test_a_comparison_needs_an_answer() -> None:
    operation = run(disk(), verify(10, 0, 1, BYTES), bytes(512))
    assert isinstance(operation, Verify)
    with pytest.raises(ValueError, match="no comparison was given"):
        disk().finish(operation)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("flags", "field"), [(2 << 1, (1, 2)), *(((each << 5) | BYTES, (1, 7)) for each in range(1, 8))]
)
def test_refused_flags(size: int, flags: int, field: tuple[int, int]) -> None:
    found = fault(run(disk(), verify(size, 0, 1, flags), bytes(512)))
    assert found.code == INVALID_FIELD
    assert found.field == field


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("check", [MEDIUM, BYTES, ONE_BLOCK])
def test_ranges(size: int, check: int) -> None:
    unit = disk()
    assert run(unit, verify(size, BLOCKS, 0, check)) == GOOD
    for block, count in [(BLOCKS + 1, 0), (0xFFFFFFFF, 0), (BLOCKS, 1), (BLOCKS - 1, 2)]:
        assert fault(run(unit, verify(size, block, count, check), bytes(1024))).code == LBA_OUT_OF_RANGE
    assert fault(run(unit, verify(size, 0, 16385, check))).code == INVALID_FIELD


@pytest.mark.parametrize(("check", "wanted"), [(BYTES, 1024), (ONE_BLOCK, 512)])
def test_a_comparison_needs_all_of_its_data(check: int, wanted: int) -> None:
    outcome = run(disk(), verify(10, 0, 2, check), bytes(wanted - 1))
    assert isinstance(outcome, Result)
    assert fault(outcome).code == SHORT_DATA
    assert outcome.transfer_wanted == wanted
