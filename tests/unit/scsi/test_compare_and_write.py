"""COMPARE AND WRITE: equal or untouched, with the byte that differed."""

import pytest

from tests.unit.scsi.support import BLOCKS, INVALID_FIELD, LBA_OUT_OF_RANGE, SHORT_DATA, disk, fault, run
from twinlock.scsi.operations import GOOD, CompareAndWrite, Compared, Result, Status

OLD, NEW = b"o" * 1024, b"n" * 1024
FUA, DPO = 0x08, 0x10


def swap(block: int, count: int, flags: int = 0) -> bytes:
    return bytes([0x89, flags, *block.to_bytes(8, "big"), 0, 0, 0, count, 0, 0])


def test_data_out_is_what_was_and_what_shall_be() -> None:
    unit = disk()
    operation = run(unit, swap(3, 2), OLD + NEW)
    assert operation == CompareAndWrite(3 * 512, OLD, NEW, wanted=2048)
    assert isinstance(operation, CompareAndWrite)
    assert unit.finish(operation, Compared(None)) == Result(Status.GOOD, data_out_used=2048)


def test_forced_to_the_medium() -> None:
    assert run(disk(), swap(3, 2, FUA | DPO), OLD + NEW) == CompareAndWrite(3 * 512, OLD, NEW, True, 2048)


@pytest.mark.parametrize("at", [0, 1, 511, 512, 1023])
def test_a_miscompare_names_the_first_byte_that_differs(at: int) -> None:
    unit = disk()
    operation = run(unit, swap(3, 2), OLD + NEW)
    assert isinstance(operation, CompareAndWrite)
    found = fault(unit.finish(operation, Compared(at)))
    assert (found.code, found.information) == ((0xE, 0x1D, 0), at)


def test_nothing_is_compared_with_nothing() -> None:
    assert run(disk(), swap(BLOCKS, 0)) == GOOD
    found = fault(run(disk(), swap(0, 0), OLD))  # 256 blocks, cut to a byte
    assert (found.code, found.field) == (INVALID_FIELD, (13, None))


def test_ranges_and_the_longest() -> None:
    unit = disk()
    for block, count in [(BLOCKS, 1), (BLOCKS - 1, 2), ((1 << 64) - 1, 1)]:
        assert fault(run(unit, swap(block, count), OLD)).code == LBA_OUT_OF_RANGE
    assert isinstance(run(unit, swap(0, 255), bytes(2 * 255 * 512)), CompareAndWrite)


@pytest.mark.parametrize("length", [0, 2047, 2049, 4096])
def test_data_out_is_just_twice_the_range(length: int) -> None:
    outcome = run(disk(), swap(3, 2), bytes(length))
    assert fault(outcome).code == SHORT_DATA
    assert isinstance(outcome, Result)
    assert outcome.transfer_wanted == 2048


def test_protection_information_is_refused() -> None:
    found = fault(run(disk(), swap(0, 1, 0x20), bytes(1024)))
    assert (found.code, found.field) == (INVALID_FIELD, (1, 7))


def test_a_read_only_disk_refuses() -> None:
    assert fault(run(disk(read_only=True), swap(0, 1), bytes(1024))).code == (7, 0x27, 0)


def test_what_was_found_is_needed() -> None:
    operation = run(disk(), swap(3, 2), OLD + NEW)
    assert isinstance(operation, CompareAndWrite)
    with pytest.raises(ValueError, match="no comparison was given"):
        disk().finish(operation)
