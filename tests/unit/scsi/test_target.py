"""LUNs, REPORT LUNS, units that are not there, and task management."""

import pytest

from tests.unit.scsi.reservations.support import REGISTER, WRITE, conflicts, done, keys, news, out
from tests.unit.scsi.support import INVALID_FIELD, INVALID_OPCODE, POWER_ON, A, B, disk, fault, good, sense_of
from twinlock.scsi.nexus import Nexus
from twinlock.scsi.operations import Read, Write
from twinlock.scsi.target import ScsiTarget
from twinlock.wire.scsi_lun import lun_bytes, lun_number

LUN_0 = bytes(8)
WELL_KNOWN = bytes.fromhex("c101 000000000000")
NOWHERE = bytes.fromhex("0007 000000000000")
READY = bytes(6)
INQUIRY = bytes([0x12, 0, 0, 0, 96, 0])
RESERVE = bytes([0x16, *bytes(5)])


def report(select: int = 0, allocation: int = 4096) -> bytes:
    return bytes([0xA0, 0, select, 0, 0, 0, *allocation.to_bytes(4, "big"), 0, 0])


@pytest.fixture
def target() -> ScsiTarget:
    return ScsiTarget({300: disk(attended=False), 0: disk(attended=False), 2: disk(attended=False)})


def attended(target: ScsiTarget, *nexuses: Nexus) -> None:
    for nexus in nexuses:
        for lun in (0, 2, 300):
            assert fault(target.start(nexus, lun_bytes(lun), READY)).code == POWER_ON


def hear(target: ScsiTarget, nexus: Nexus) -> None:
    """The nexus takes note of whatever the units have to tell it."""
    for lun in (0, 2, 300):
        unit = target.unit(lun_bytes(lun))
        assert unit is not None
        news(unit, nexus)


@pytest.mark.parametrize(
    ("lun", "number"),
    [
        ("0000000000000000", 0),
        ("00ff000000000000", 255),
        ("4000000000000000", 0),
        ("412c000000000000", 300),
        ("7fff000000000000", 0x3FFF),
        ("0100000000000000", None),  # a bus
        ("8000000000000000", None),  # logical unit addressing
        ("c101000000000000", None),
        ("0000000100000000", None),  # a second level
        ("00", None),
        ("", None),
    ],
)
def test_lun_forms(lun: str, number: int | None) -> None:
    assert lun_number(bytes.fromhex(lun)) == number


@pytest.mark.parametrize("number", [0, 1, 255, 256, 300, 0x3FFF])
def test_luns_lead_back_to_their_numbers(number: int) -> None:
    assert lun_number(lun_bytes(number)) == number


@pytest.mark.parametrize("number", [-1, 0x4000])
def test_numbers_that_are_no_luns(number: int) -> None:
    with pytest.raises(ValueError, match="no logical unit number"):
        lun_bytes(number)


def test_a_target_has_a_lun_0() -> None:
    with pytest.raises(ValueError, match="LUN 0"):
        ScsiTarget({1: disk()})


def test_commands_reach_their_unit(target: ScsiTarget) -> None:
    attended(target, A)
    read = bytes.fromhex("28 00 00000001 00 0001 00")
    for lun in ("0000000000000000", "4000000000000000", "412c000000000000"):
        assert target.start(A, bytes.fromhex(lun), read) == Read(512, 512)
        assert target.unit(bytes.fromhex(lun)) is not None
    assert target.unit(LUN_0) is not target.unit(lun_bytes(2))
    assert target.unit(NOWHERE) is None


ALL_LUNS = bytes(8) + bytes.fromhex("0002 000000000000 412c 000000000000")


@pytest.mark.parametrize(("select", "luns"), [(0, ALL_LUNS), (1, WELL_KNOWN), (2, ALL_LUNS + WELL_KNOWN)])
@pytest.mark.parametrize("lun", [LUN_0, WELL_KNOWN, NOWHERE])
def test_report_luns(target: ScsiTarget, lun: bytes, select: int, luns: bytes) -> None:
    data = good(target.start(A, lun, report(select)))
    assert data == len(luns).to_bytes(4, "big") + bytes(4) + luns


def test_report_luns_is_cut_and_leaves_the_attention(target: ScsiTarget) -> None:
    data = good(target.start(A, LUN_0, report(allocation=16)))
    assert data == (24).to_bytes(4, "big") + bytes(12)
    assert fault(target.start(A, LUN_0, READY)).code == POWER_ON


@pytest.mark.parametrize(("cdb", "field"), [(report(3), (2, None)), (report(0, 15), (6, None))])
def test_report_luns_refused(target: ScsiTarget, cdb: bytes, field: tuple[int, None]) -> None:
    found = fault(target.start(A, LUN_0, cdb))
    assert found.code == INVALID_FIELD
    assert found.field == field


def test_the_well_known_unit(target: ScsiTarget) -> None:
    assert good(target.start(A, WELL_KNOWN, INQUIRY))[0] == 0x1E
    assert good(target.start(A, WELL_KNOWN, READY)) == b""
    assert good(target.start(A, WELL_KNOWN, bytes([0x12, 1, 0, 0, 255, 0]))) == bytes.fromhex("1e0000020083")
    names = good(target.start(A, WELL_KNOWN, bytes([0x12, 1, 0x83, 0, 255, 0])))
    assert names[4:8] == bytes([0x51, 0x94, 0, 4])
    assert fault(target.start(A, WELL_KNOWN, bytes([0x25, *bytes(9)]))).code == INVALID_OPCODE


def test_where_nothing_is(target: ScsiTarget) -> None:
    data = good(target.start(A, NOWHERE, INQUIRY))
    assert data[0] == 0x7F
    assert len(data) == 96
    assert fault(target.start(A, NOWHERE, bytes([0x12, 1, 0x83, 0, 255, 0]))).code == INVALID_FIELD
    sense = good(target.start(A, NOWHERE, bytes([3, 0, 0, 0, 252, 0])))
    assert sense_of(sense).code == (5, 0x25, 0)
    for cdb in (READY, bytes([0x28, *bytes(9)]), b"\xff", b""):
        assert fault(target.start(A, NOWHERE, cdb)).code == (5, 0x25, 0)


def test_logical_unit_reset_concerns_one_unit(target: ScsiTarget) -> None:
    attended(target, A, B)
    assert target.logical_unit_reset(LUN_0)
    assert not target.logical_unit_reset(NOWHERE)
    for nexus in (A, B):
        assert fault(target.start(nexus, LUN_0, READY)).code == (6, 0x29, 3)
        assert good(target.start(nexus, LUN_0, READY)) == b""
        assert good(target.start(nexus, lun_bytes(2), READY)) == b""


@pytest.mark.parametrize(("cold", "code"), [(False, (6, 0x29, 2)), (True, (6, 0x29, 1))])
def test_target_resets_concern_all(target: ScsiTarget, cold: bool, code: tuple[int, int, int]) -> None:
    attended(target, A)
    target.target_reset(cold=cold)
    for lun in (0, 2, 300):
        assert fault(target.start(A, lun_bytes(lun), READY)).code == code


def test_cleared_commands_are_told_to_those_who_lost_them(target: ScsiTarget) -> None:
    attended(target, A, B)
    assert target.commands_cleared(LUN_0, [B])
    assert not target.commands_cleared(NOWHERE, [B])
    assert good(target.start(A, LUN_0, READY)) == b""
    assert fault(target.start(B, LUN_0, READY)).code == (6, 0x2F, 0)


def test_a_reset_of_one_unit_ends_its_reserve_only(target: ScsiTarget) -> None:
    attended(target, A, B)
    for lun in (0, 2):
        assert good(target.start(A, lun_bytes(lun), RESERVE)) == b""
    ending = target.logical_unit_reset(LUN_0)
    assert ending is not None
    ending()
    hear(target, B)
    assert good(target.start(B, LUN_0, RESERVE)) == b""
    assert conflicts(target.start(B, lun_bytes(2), RESERVE))


@pytest.mark.parametrize("cold", [False, True])
def test_a_target_reset_ends_every_reserve_and_takes_mode_parameters_back(
    target: ScsiTarget, cold: bool
) -> None:
    attended(target, A, B)
    page = bytes([0x0A, 0x0A, 0x02, 0x10, 0x08, 0, 0, 0, 0xFF, 0xFF, 0, 0])
    for lun in (0, 2, 300):
        assert good(target.start(A, lun_bytes(lun), RESERVE)) == b""
        target.start(A, lun_bytes(lun), bytes([0x15, 0x10, 0, 0, 16, 0]), bytes(4) + page)
        assert fault(target.start(A, lun_bytes(lun), WRITE, bytes(512))).code == (7, 0x27, 2)
    target.target_reset(cold=cold)()
    hear(target, B)
    for lun in (0, 2, 300):
        assert good(target.start(B, lun_bytes(lun), RESERVE)) == b""
        assert isinstance(target.start(B, lun_bytes(lun), WRITE, bytes(512)), Write)


@pytest.mark.parametrize("cold", [False, True])
def test_only_a_cold_reset_is_a_loss_of_power(target: ScsiTarget, cold: bool) -> None:
    attended(target, A)
    unit = target.unit(LUN_0)
    assert unit is not None
    done(out(unit, A, REGISTER, 0, 1))
    target.target_reset(cold=cold)()
    hear(target, A)
    assert keys(unit, A) == ((0, []) if cold else (1, [1]))


def test_a_lost_nexus_takes_its_reserve_along_and_leaves_its_registration(target: ScsiTarget) -> None:
    attended(target, A, B)
    unit = target.unit(lun_bytes(2))
    assert unit is not None
    assert good(target.start(A, LUN_0, RESERVE)) == b""
    done(out(unit, A, REGISTER, 0, 1))
    target.nexus_lost(A)
    assert good(target.start(B, LUN_0, RESERVE)) == b""
    assert keys(unit, B) == (1, [1])


def test_a_lost_nexus_starts_anew(target: ScsiTarget) -> None:
    attended(target, A, B)
    target.nexus_lost(A)
    assert good(target.start(B, LUN_0, READY)) == b""
    attended(target, A)
