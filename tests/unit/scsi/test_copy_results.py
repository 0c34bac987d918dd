"""RECEIVE COPY RESULTS and VPD page 8Fh: what can be copied, and what was."""

import pytest

from tests.unit.scsi.copying import extended_copy, parameters, receive, segment, target
from tests.unit.scsi.support import INVALID_FIELD, NEXUS, B, disk, fault, good, run
from twinlock.errors import MediumError
from twinlock.scsi.geometry import Geometry
from twinlock.scsi.logical_unit import LogicalUnit
from twinlock.scsi.operations import Copy, Status

STATUS, PARAMETERS, DETAILS = 0, 3, 4


def start(unit: LogicalUnit, identifier: int = 1) -> Copy:
    data = parameters([target()], [segment(0, 10, 8), segment(1, 11, 1)], identifier=identifier)
    operation = run(unit, extended_copy(len(data)), data)
    assert isinstance(operation, Copy)
    return operation


def status(unit: LogicalUnit, identifier: int = 1) -> tuple[int, int, int, int]:
    """COPY MANAGER STATUS (and HDD), SEGMENTS PROCESSED, TRANSFER COUNT UNITS, TRANSFER COUNT."""
    data = good(run(unit, receive(STATUS, identifier)))
    assert data[:4] == bytes([0, 0, 0, 8])
    assert len(data) == 12
    return data[4], int.from_bytes(data[5:7], "big"), data[7], int.from_bytes(data[8:12], "big")


def test_the_life_of_a_copy() -> None:
    unit = disk()
    operation = start(unit)
    assert status(unit) == (0x80, 0, 0, 0)
    operation.job.advance(4096)
    operation.job.segments += 1
    assert status(unit) == (0x80, 1, 0, 4096)
    unit.finish(operation)
    assert status(unit) == (0x81, 1, 0, 4096)
    assert status(unit) == (0x81, 1, 0, 4096), "told again"


def test_how_a_copy_failed() -> None:
    unit = disk()
    operation = start(unit)
    result = unit.fail(operation, MediumError("bad"))
    assert status(unit)[0] == 0x82
    data = good(run(unit, receive(DETAILS)))
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    assert data[4:56] == bytes(52)
    assert data[56:60] == bytes([2, 0, 0, len(result.sense)])
    assert data[60:] == result.sense


def test_a_copy_that_was_aborted_failed() -> None:
    unit = disk()
    start(unit).job.fail(Status.TASK_ABORTED)
    assert status(unit)[0] == 0x82
    assert good(run(unit, receive(DETAILS)))[56:] == bytes([0x40, 0, 0, 0])


def test_a_copy_that_did_not_fail_has_no_details() -> None:
    unit = disk()
    operation = start(unit)
    assert good(run(unit, receive(DETAILS))) == bytes(4)
    unit.finish(operation)
    assert good(run(unit, receive(DETAILS))) == bytes(4)


@pytest.mark.parametrize(
    ("copied", "units", "count"),
    [
        ((1 << 32) - 1, 0, (1 << 32) - 1),
        (1 << 32, 1, 1 << 22),
        ((1 << 42) - 1, 1, (1 << 32) - 1),
        (1 << 42, 2, 1 << 22),
    ],
)
def test_large_counts_have_larger_units(copied: int, units: int, count: int) -> None:
    unit = disk()
    start(unit).job.advance(copied)
    assert status(unit)[2:] == (units, count)


@pytest.mark.parametrize("action", [STATUS, DETAILS])
def test_copies_are_known_to_who_started_them(action: int) -> None:
    unit = disk()
    start(unit, identifier=7)
    for nexus, identifier in [(NEXUS, 1), (B, 7)]:
        unit.attentions.take(nexus)
        found = fault(unit.start(nexus, receive(action, identifier)))
        assert (found.code, found.field) == (INVALID_FIELD, (2, None))
    good(run(unit, receive(action, 7)))


def test_a_session_that_ends_and_a_reset_take_it_all_along() -> None:
    unit = disk()
    start(unit)
    unit.copies.forget(B)
    assert status(unit)[0] == 0x80
    unit.copies.forget(NEXUS)
    assert fault(run(unit, receive(STATUS))).code == INVALID_FIELD
    start(unit)
    unit.copies.clear()
    assert fault(run(unit, receive(STATUS))).code == INVALID_FIELD


def test_the_answer_is_cut_to_the_room_there_is() -> None:
    assert len(good(run(disk(), receive(PARAMETERS, room=20)))) == 20


@pytest.mark.parametrize(("block", "power"), [(512, 9), (4096, 12)])
def test_operating_parameters(block: int, power: int) -> None:
    data = good(run(disk(Geometry(100, block)), receive(PARAMETERS, identifier=99)))
    assert int.from_bytes(data[:4], "big") == len(data) - 4 == 42
    assert data[4] == 1  # SNLID
    numbers = [int.from_bytes(data[at : at + 2], "big") for at in (8, 10, 34)]
    assert numbers == [16, 64, 4]
    longer = [int.from_bytes(data[at : at + 4], "big") for at in (12, 16, 20, 24, 28)]
    assert longer == [16 * 32 + 64 * 28, 65535 * block, 0, 0, 0]
    assert data[36:40] == bytes([4, power, 0, 0])
    assert data[43:] == bytes([2, 0x02, 0xE4])


def test_receive_data_is_not_served() -> None:
    assert fault(run(disk(), receive(1))).code == INVALID_FIELD


def test_the_third_party_copy_page() -> None:
    page = good(run(disk(), bytes([0x12, 1, 0x8F, 4, 0, 0])))
    assert page[:2] == bytes([0, 0x8F])
    assert int.from_bytes(page[2:4], "big") == len(page) - 4
    found = {}
    rest = page[4:]
    while rest:
        kind, length = int.from_bytes(rest[:2], "big"), int.from_bytes(rest[2:4], "big")
        assert length % 4 == 0
        found[kind] = rest[4 : 4 + length]
        rest = rest[4 + length :]
    assert sorted(found) == list(found) == [0x0001, 0x0004, 0x0008, 0x000C, 0x8001, 0xC001]
    assert found[0x0001] == bytes([8, 0x83, 1, 0, 0x84, 3, 0, 3, 4, 0, 0, 0])
    assert found[0x0004] == bytes.fromhex("00000000 0010 0040 00000900 00000000") + bytes(12)
    assert found[0x0008] == bytes([2, 0x02, 0xE4, 0])
    assert found[0x000C] == bytes.fromhex("0002 ffff")
    assert found[0x8001] == bytes.fromhex("00000004 00000004 01fffe00 09 00") + bytes(18)
    assert found[0xC001] == bytes(28)


def test_standard_inquiry_data_say_so() -> None:
    assert good(run(disk(), bytes([0x12, 0, 0, 0, 96, 0])))[5] & 0x08
