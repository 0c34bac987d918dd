"""SYNCHRONIZE CACHE, START STOP UNIT, PREVENT ALLOW, TEST UNIT READY, REQUEST SENSE."""

import pytest

from tests.unit.scsi.support import (
    BLOCKS,
    INVALID_FIELD,
    LBA_OUT_OF_RANGE,
    POWER_ON,
    disk,
    fault,
    good,
    run,
    sense_of,
)
from tests.unit.scsi.test_read_write import cdb
from twinlock.scsi.operations import GOOD, Flush, Result, Status

SYNCHRONIZE = [(0x35, 10), (0x91, 16)]


@pytest.mark.parametrize(("opcode", "size"), SYNCHRONIZE)
@pytest.mark.parametrize("immediate", [0, 0x02])
@pytest.mark.parametrize(("block", "count"), [(0, 0), (0, 1), (5, 100), (BLOCKS - 1, 1), (BLOCKS, 0)])
def test_every_range_flushes_and_waits(
    opcode: int, size: int, immediate: int, block: int, count: int
) -> None:
    unit = disk()
    operation = run(unit, cdb(opcode, size, block, count, immediate))
    assert operation == Flush()
    assert isinstance(operation, Flush)
    assert unit.finish(operation) == Result(Status.GOOD)


@pytest.mark.parametrize(("opcode", "size"), SYNCHRONIZE)
@pytest.mark.parametrize(("block", "count"), [(BLOCKS + 1, 0), (BLOCKS, 1), (1, BLOCKS), (0xFFFFFFFF, 1)])
def test_a_flush_outside_the_disk_is_refused(opcode: int, size: int, block: int, count: int) -> None:
    assert fault(run(disk(), cdb(opcode, size, block, count))).code == LBA_OUT_OF_RANGE


def test_a_read_only_disk_flushes() -> None:
    assert run(disk(read_only=True), cdb(0x35, 10, 0, 0)) == Flush()


@pytest.mark.parametrize(("last", "expected"), [(0x01, GOOD), (0x00, Flush()), (0x04, GOOD), (0x05, GOOD)])
def test_a_stop_flushes_and_the_unit_stays_ready(last: int, expected: Flush | Result) -> None:
    unit = disk()
    assert run(unit, bytes([0x1B, 0, 0, 0, last, 0])) == expected
    assert good(run(unit, bytes(6))) == b""


@pytest.mark.parametrize(("last", "field"), [(0x02, (4, 1)), (0x03, (4, 1)), (0x10, (4, 7)), (0xB0, (4, 7))])
def test_nothing_to_eject_and_no_power_conditions(last: int, field: tuple[int, int]) -> None:
    found = fault(run(disk(), bytes([0x1B, 0, 0, 0, last, 0])))
    assert found.code == INVALID_FIELD
    assert found.field == field


def test_removal_can_be_prevented_where_it_is_impossible() -> None:
    unit = disk()
    assert run(unit, bytes([0x1E, 0, 0, 0, 0, 0])) == GOOD
    assert run(unit, bytes([0x1E, 0, 0, 0, 1, 0])) == GOOD
    assert fault(run(unit, bytes([0x1E, 0, 0, 0, 2, 0]))).field == (4, 1)


def test_request_sense_has_nothing_to_say() -> None:
    unit = disk()
    data = good(run(unit, bytes([0x03, 0, 0, 0, 252, 0])))
    assert data == bytes([0x70, 0, 0, 0, 0, 0, 0, 10]) + bytes(10)
    assert good(run(unit, bytes([0x03, 1, 0, 0, 252, 0]))) == bytes([0x72]) + bytes(7)
    assert len(good(run(unit, bytes([0x03, 0, 0, 0, 5, 0])))) == 5


@pytest.mark.parametrize("form", [0, 1])
def test_request_sense_reports_a_pending_attention_and_clears_it(form: int) -> None:
    unit = disk(attended=False)
    assert sense_of(good(run(unit, bytes([0x03, form, 0, 0, 252, 0])))).code == POWER_ON
    assert good(run(unit, bytes(6))) == b""
