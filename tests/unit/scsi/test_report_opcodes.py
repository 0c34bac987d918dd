"""REPORT SUPPORTED OPERATION CODES agrees with what the unit does."""

import pytest

from tests.unit.scsi.support import INVALID_FIELD, INVALID_OPCODE, disk, fault, good, run
from twinlock.scsi.geometry import Geometry
from twinlock.scsi.logical_unit import COMMANDS, LogicalUnit

SIZES = {0: 6, 1: 10, 2: 10, 4: 16, 5: 12}
"""CDB length by group code, the top three bits of an operation code."""


def report(options: int, opcode: int = 0, action: int = 0, allocation: int = 65535) -> bytes:
    return bytes(
        [0xA3, 0x0C, options, opcode, *action.to_bytes(2, "big"), *allocation.to_bytes(4, "big"), 0, 0]
    )


def listed(unit: LogicalUnit, timeouts: int = 0) -> list[bytes]:
    data = good(run(unit, report(timeouts)))
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    step = 20 if timeouts else 8
    return [data[at : at + step] for at in range(4, len(data), step)]


def test_all_commands_are_listed_in_order() -> None:
    rows = listed(disk())
    keys = [(row[0], int.from_bytes(row[2:4], "big")) for row in rows]
    assert keys == sorted({(each.opcode, each.service_action or 0) for each in COMMANDS})
    for row in rows:
        assert int.from_bytes(row[6:8], "big") == SIZES[row[0] >> 5]
        assert row[5] == (1 if row[0] in (0x5E, 0x5F, 0x83, 0x84, 0x9E, 0xA3) else 0)


def test_timeouts_if_asked_for() -> None:
    for row in listed(disk(), timeouts=0x80):
        assert row[5] & 2
        assert row[8:] == bytes([0, 10]) + bytes(10)


def test_one_command_by_opcode() -> None:
    unit = disk()
    # RDPROTECT, DPO and FUA; the address; not the group number; the length; NACA
    usage = "28 f8 ffffffff 00 ffff 04"
    assert good(run(unit, report(1, 0x28))) == bytes.fromhex("00 03 000a" + usage)
    assert good(run(unit, report(0x81, 0x28))) == bytes.fromhex("00 83 000a" + usage + "000a" + "00" * 10)
    assert good(run(unit, report(3, 0x28))) == bytes.fromhex("00 03 000a" + usage)


def test_one_command_by_service_action() -> None:
    unit = disk()
    expected = bytes.fromhex("00 03 0010 9e10 ffffffffffffffff ffffffff 01 04")
    assert good(run(unit, report(2, 0x9E, 0x10))) == expected
    assert good(run(unit, report(3, 0x9E, 0x10))) == expected


@pytest.mark.parametrize(
    "cdb",
    [report(1, 0xC5), report(2, 0x9E, 0x13), report(3, 0x9E, 0), report(3, 0x28, 1), report(2, 0xC5, 1)],
)
def test_commands_that_are_not_there(cdb: bytes) -> None:
    assert good(run(disk(), cdb)) == bytes([0, 1, 0, 0])


@pytest.mark.parametrize(
    ("cdb", "field"), [(report(1, 0x9E, 0x10), (3, None)), (report(2, 0x28), (3, None)), (report(4), (2, 2))]
)
def test_options_that_do_not_fit(cdb: bytes, field: tuple[int, int | None]) -> None:
    found = fault(run(disk(), cdb))
    assert found.code == INVALID_FIELD
    assert found.field == field


def test_a_service_action_that_is_not_there_points_at_itself() -> None:
    found = fault(run(disk(), bytes([0x9E, 0x13]) + bytes(14)))
    assert found.code == INVALID_FIELD
    assert found.field == (1, 4)


def test_what_is_listed_is_known_and_nothing_else_is() -> None:
    unit = disk()
    opcodes = {row[0] for row in listed(unit)}
    for opcode in range(256):
        outcome = run(unit, bytes([opcode]) + bytes(15))
        unknown = getattr(outcome, "sense", b"") != b"" and fault(outcome).code == INVALID_OPCODE
        assert unknown == (opcode not in opcodes)


def test_naca_is_refused_by_every_command() -> None:
    unit = disk()
    for row in listed(unit):
        size = int.from_bytes(row[6:8], "big")
        cdb = bytearray([row[0], row[3], *bytes(size - 3), 4])
        found = fault(run(unit, bytes(cdb)))
        assert found.code == INVALID_FIELD
        assert found.field == (size - 1, 2)


def test_without_discard_unmap_is_not_listed() -> None:
    assert 0x42 in {row[0] for row in listed(disk())}
    assert 0x42 not in {row[0] for row in listed(disk(Geometry(100, discard=False)))}
