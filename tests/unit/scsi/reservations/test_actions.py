"""PERSISTENT RESERVE OUT, service action by service action, through CDBs and parameter lists."""

import pytest

from tests.unit.scsi.reservations.support import (
    ALL_TG_PT,
    APTPL,
    BLOCK,
    CLEAR,
    EA,
    EA_RO,
    IGNORE,
    LOST,
    PREEMPT,
    PREEMPT_AND_ABORT,
    PREEMPTED,
    REGISTER,
    RELEASE,
    RELEASED,
    RESERVE,
    SPEC_I_PT,
    TYPES,
    WE,
    WE_AR,
    WE_RO,
    WRITE,
    MemoryStore,
    allowed,
    conflicts,
    done,
    full_status,
    keys,
    move,
    new_unit,
    news,
    out,
    out_cdb,
    port_id,
    read_in,
    reservation,
)
from tests.unit.scsi.support import INVALID_FIELD, SHORT_DATA, A, B, C, fault, good
from twinlock.scsi.logical_unit import LogicalUnit
from twinlock.scsi.nexus import Nexus
from twinlock.scsi.operations import AbortTasks, Result, Status
from twinlock.scsi.reservations.actions import MAX_REGISTRATIONS
from twinlock.scsi.reservations.state import State

LENGTH_ERROR = (5, 0x1A, 0)
INVALID_PARAMETER = (5, 0x26, 0)
INVALID_RELEASE = (5, 0x26, 4)
NO_ROOM = (5, 0x55, 4)
EVERY = (A, B, C)


@pytest.fixture
def unit() -> LogicalUnit:
    """A disk on which A has registered 1, B 2 and C 3."""
    found = new_unit(*EVERY)
    for number, nexus in enumerate(EVERY, 1):
        done(out(found, nexus, REGISTER, 0, number))
    return found


def test_registering_changing_and_unregistering() -> None:
    unit = new_unit(A)
    assert keys(unit, A) == (0, [])
    done(out(unit, A, REGISTER, 0, 7))
    assert keys(unit, A) == (1, [7])
    assert conflicts(out(unit, A, REGISTER, 0, 8))
    assert conflicts(out(unit, A, REGISTER, 8, 9))
    assert keys(unit, A) == (1, [7])
    done(out(unit, A, REGISTER, 7, 8))
    done(out(unit, A, IGNORE, 0xBAD, 9))
    assert keys(unit, A) == (3, [9])
    done(out(unit, A, REGISTER, 9, 0))
    assert keys(unit, A) == (4, [])


def test_who_is_not_registered_has_no_key() -> None:
    unit = new_unit(A)
    assert conflicts(out(unit, A, REGISTER, 5, 6))
    done(out(unit, A, REGISTER, 0, 0))
    done(out(unit, A, IGNORE, 5, 0))
    assert keys(unit, A) == (2, [])


@pytest.mark.parametrize("action", [RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT])
def test_all_else_takes_a_registration_and_its_key(unit: LogicalUnit, action: int) -> None:
    stranger = Nexus("iqn.2026-11.test:stranger", bytes(6))
    unit.start(stranger, bytes(6))
    assert conflicts(out(unit, stranger, action, 1, 2, WE))
    assert conflicts(out(unit, stranger, action, 0, 2, WE))
    assert conflicts(out(unit, A, action, 2, 2, WE))
    assert keys(unit, A) == (3, [1, 2, 3])
    assert reservation(unit, A) is None


@pytest.mark.parametrize("kind", TYPES)
def test_reserving_and_releasing(unit: LogicalUnit, kind: int) -> None:
    done(out(unit, A, RESERVE, 1, kind=kind))
    of_all = kind in TYPES[4:]
    assert reservation(unit, B) == (0 if of_all else 1, kind)
    done(out(unit, A, RESERVE, 1, kind=kind))
    other = next(each for each in TYPES if each != kind)
    assert conflicts(out(unit, A, RESERVE, 1, kind=other))
    assert conflicts(out(unit, B, RESERVE, 2, kind=kind)) is not of_all
    assert fault(out(unit, A, RELEASE, 1, kind=other)).code == INVALID_RELEASE
    assert [each.holder for each in full_status(unit, C)] == [True, of_all, of_all]
    assert keys(unit, A)[0] == 3, "neither counts"
    done(out(unit, A, RELEASE, 1, kind=kind))
    assert reservation(unit, A) is None
    told = [RELEASED] if kind in TYPES[2:] else []
    assert [news(unit, each) for each in EVERY] == [[], told, told]


def test_a_release_by_others_does_nothing(unit: LogicalUnit) -> None:
    done(out(unit, A, RELEASE, 1, kind=WE))
    done(out(unit, A, RESERVE, 1, kind=WE))
    done(out(unit, B, RELEASE, 2, kind=EA))
    assert reservation(unit, A) == (1, WE)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("action", [REGISTER, IGNORE])
def test_a_holder_that_unregisters(unit: LogicalUnit, kind: int, action: int) -> None:
    done(out(unit, A, RESERVE, 1, kind=kind))
    done(out(unit, A, action, 1, 0))
    of_all = kind in TYPES[4:]
    assert reservation(unit, A) == ((0, kind) if of_all else None)
    told = [RELEASED] if kind in TYPES[2:4] else []
    assert [news(unit, each) for each in EVERY] == [[], told, told]
    done(out(unit, B, REGISTER, 2, 0))
    done(out(unit, C, REGISTER, 3, 0))
    assert reservation(unit, A) is None
    assert [news(unit, each) for each in EVERY] == [[], [], []]


def test_a_changed_key_keeps_the_reservation(unit: LogicalUnit) -> None:
    done(out(unit, A, RESERVE, 1, kind=EA))
    done(out(unit, A, REGISTER, 1, 11))
    assert reservation(unit, A) == (11, EA)


def test_clear(unit: LogicalUnit) -> None:
    done(out(unit, A, RESERVE, 1, kind=EA))
    done(out(unit, B, CLEAR, 2))
    assert keys(unit, B) == (4, [])
    assert reservation(unit, B) is None
    assert [news(unit, each) for each in EVERY] == [[PREEMPTED], [], [PREEMPTED]]


class TestPreempt:
    def test_registrations_only(self, unit: LogicalUnit) -> None:
        done(out(unit, A, RESERVE, 1, kind=WE))
        done(out(unit, B, PREEMPT, 2, 3, kind=0))
        assert keys(unit, A) == (4, [1, 2])
        assert reservation(unit, A) == (1, WE)
        assert [news(unit, each) for each in EVERY] == [[], [], [LOST]]

    def test_nobody_has_the_key(self, unit: LogicalUnit) -> None:
        assert conflicts(out(unit, B, PREEMPT, 2, 99, WE))
        assert keys(unit, A) == (3, [1, 2, 3])

    @pytest.mark.parametrize("kind", [0, WE])
    def test_no_key(self, unit: LogicalUnit, kind: int) -> None:
        if kind:
            done(out(unit, A, RESERVE, 1, kind=kind))
        found = fault(out(unit, B, PREEMPT, 2, 0, WE))
        assert (found.code, found.parameter) == (INVALID_PARAMETER, (8, None))

    def test_the_holder(self, unit: LogicalUnit) -> None:
        done(out(unit, A, RESERVE, 1, kind=EA_RO))
        done(out(unit, B, PREEMPT, 2, 1, WE))
        assert keys(unit, B) == (4, [2, 3])
        assert reservation(unit, B) == (2, WE)
        assert [news(unit, each) for each in EVERY] == [[LOST], [], [RELEASED]]
        assert conflicts(unit.start(A, WRITE, BLOCK))

    def test_the_holder_with_the_same_type(self, unit: LogicalUnit) -> None:
        done(out(unit, A, RESERVE, 1, kind=WE_RO))
        done(out(unit, B, PREEMPT, 2, 1, WE_RO))
        assert [news(unit, each) for each in EVERY] == [[LOST], [], []]

    def test_the_holder_with_a_type_that_is_none(self, unit: LogicalUnit) -> None:
        done(out(unit, A, RESERVE, 1, kind=WE))
        found = fault(out(unit, B, PREEMPT, 2, 1, 2))
        assert (found.code, found.field) == (INVALID_FIELD, (2, 3))
        assert reservation(unit, B) == (1, WE)

    def test_the_holder_changes_its_own_type(self, unit: LogicalUnit) -> None:
        done(out(unit, A, RESERVE, 1, kind=WE))
        done(out(unit, A, PREEMPT, 1, 1, EA))
        assert reservation(unit, A) == (1, EA)
        assert keys(unit, A) == (4, [1, 2, 3])
        assert [news(unit, each) for each in EVERY] == [[], [RELEASED], [RELEASED]]

    def test_ones_own_key_is_taken_from_those_who_share_it(self, unit: LogicalUnit) -> None:
        done(out(unit, B, REGISTER, 2, 1))
        done(out(unit, A, RESERVE, 1, kind=WE))
        done(out(unit, A, PREEMPT, 1, 1, WE))
        assert keys(unit, A)[1] == [1, 3]
        assert news(unit, B) == [LOST]

    def test_ones_own_registration(self, unit: LogicalUnit) -> None:
        done(out(unit, C, RESERVE, 3, kind=WE))
        done(out(unit, A, PREEMPT, 1, 1, WE))
        assert keys(unit, A)[1] == [2, 3]
        assert [news(unit, each) for each in EVERY] == [[], [], []]

    def test_all_registrants_by_no_key(self, unit: LogicalUnit) -> None:
        done(out(unit, A, RESERVE, 1, kind=WE_AR))
        done(out(unit, B, PREEMPT, 2, 0, WE))
        assert keys(unit, B)[1] == [2]
        assert reservation(unit, B) == (2, WE)
        assert [news(unit, each) for each in EVERY] == [[LOST], [], [LOST]]

    def test_one_of_all_registrants(self, unit: LogicalUnit) -> None:
        done(out(unit, A, RESERVE, 1, kind=WE_AR))
        done(out(unit, B, PREEMPT, 2, 1, EA))
        assert keys(unit, B)[1] == [2, 3]
        assert reservation(unit, B) == (0, WE_AR)
        assert news(unit, A) == [LOST]

    def test_the_last_of_all_registrants(self, unit: LogicalUnit) -> None:
        done(out(unit, A, RESERVE, 1, kind=WE_AR))
        for nexus, key in ((B, 2), (C, 3)):
            done(out(unit, nexus, REGISTER, key, 1))
        done(out(unit, A, PREEMPT, 1, 1, EA))
        assert keys(unit, A)[1] == []
        assert reservation(unit, A) is None
        assert [news(unit, each) for each in EVERY] == [[], [LOST], [LOST]]


class TestPreemptAndAbort:
    def test_the_commands_of_whom_it_takes_the_registration_are_aborted(self, unit: LogicalUnit) -> None:
        done(out(unit, C, REGISTER, 3, 2))
        done(out(unit, B, RESERVE, 2, kind=WE))
        operation = out(unit, A, PREEMPT_AND_ABORT, 1, 2, EA)
        assert operation == AbortTasks((B, C), 24)
        assert isinstance(operation, AbortTasks)
        assert reservation(unit, A) == (1, EA)
        assert unit.finish(operation) == Result(Status.GOOD, data_out_used=24)
        assert [news(unit, each) for each in EVERY] == [[], [LOST], [LOST]]

    def test_all_others_of_all_registrants(self, unit: LogicalUnit) -> None:
        done(out(unit, B, RESERVE, 2, kind=WE_AR))
        assert out(unit, A, PREEMPT_AND_ABORT, 1, 0, EA) == AbortTasks((B, C), 24)

    def test_nobody_else(self, unit: LogicalUnit) -> None:
        done(out(unit, A, RESERVE, 1, kind=WE))
        done(out(unit, A, PREEMPT_AND_ABORT, 1, 1, EA))


class TestMove:
    def test_the_reservation_goes_to_another_port(self, unit: LogicalUnit) -> None:
        heir = Nexus("iqn.2026-11.test:heir", bytes(range(6)))
        done(out(unit, A, RESERVE, 1, kind=EA))
        done(move(unit, A, port_id(heir), 1, 44))
        assert reservation(unit, A) == (44, EA)
        found = full_status(unit, A)
        assert [(each.key, each.holder) for each in found] == [
            (1, False),
            (2, False),
            (3, False),
            (44, True),
        ]
        assert found[3].port == "iqn.2026-11.test:heir,i,0x000102030405"
        assert keys(unit, A)[0] == 4
        assert conflicts(unit.start(A, WRITE, BLOCK))
        unit.start(heir, bytes(6))
        assert allowed(unit.start(heir, WRITE, BLOCK))
        assert [news(unit, each) for each in EVERY] == [[], [], []]

    def test_to_one_that_is_registered_and_without_the_giver(self, unit: LogicalUnit) -> None:
        done(out(unit, A, RESERVE, 1, kind=EA))
        done(move(unit, A, port_id(B), 1, 44, flags=2))
        assert keys(unit, A)[1] == [44, 3]
        assert reservation(unit, A) == (44, EA)

    def test_only_by_the_holder(self, unit: LogicalUnit) -> None:
        assert fault(move(unit, A, port_id(B), 1, 44)).code == INVALID_FIELD
        done(out(unit, A, RESERVE, 1, kind=EA))
        assert conflicts(move(unit, B, port_id(C), 2, 44))
        assert conflicts(move(unit, A, port_id(C), 9, 44))
        assert keys(unit, A) == (3, [1, 2, 3])

    def test_what_all_hold_cannot_be_moved(self, unit: LogicalUnit) -> None:
        done(out(unit, A, RESERVE, 1, kind=WE_AR))
        assert conflicts(move(unit, A, port_id(B), 1, 44))

    def test_what_is_refused(self, unit: LogicalUnit) -> None:
        done(out(unit, A, RESERVE, 1, kind=EA))
        refusals = {
            "no key": (move(unit, A, port_id(B), 1, 0), INVALID_PARAMETER, (8, None)),
            "itself": (move(unit, A, port_id(A), 1, 44), INVALID_PARAMETER, (20, None)),
            "another port": (move(unit, A, port_id(B), 1, 44, port=2), INVALID_PARAMETER, (18, None)),
            "nobody": (move(unit, A, b"", 1, 44), INVALID_PARAMETER, (20, None)),
            "two": (move(unit, A, port_id(B) + port_id(C), 1, 44), INVALID_PARAMETER, (20, None)),
            "no place": (move(unit, A, port_id(B), 1, 44, flags=1), INVALID_PARAMETER, (17, 0)),
            "length": (move(unit, A, port_id(B), 1, 44, length=24), LENGTH_ERROR, None),
            "short": (unit.start(A, out_cdb(7, 20), bytes(20)), LENGTH_ERROR, None),
        }
        for what, (outcome, code, parameter) in refusals.items():
            found = fault(outcome)
            assert (found.code, found.parameter) == (code, parameter), what
        assert keys(unit, A) == (3, [1, 2, 3])


class TestSpecifiedPorts:
    def test_all_are_registered_with_the_key(self) -> None:
        unit = new_unit(A, B)
        done(out(unit, B, REGISTER, 0, 5))
        ids = port_id(A) + port_id(B) + port_id(C)
        more = len(ids).to_bytes(4, "big") + ids
        done(out(unit, A, REGISTER, 0, 7, flags=SPEC_I_PT | ALL_TG_PT, more=more))
        found = {each.port.rpartition(":")[2][0]: each for each in full_status(unit, A)}
        assert {name: each.key for name, each in found.items()} == {"a": 7, "b": 5, "c": 7}
        assert {name: each.all_ports for name, each in found.items()} == {"a": True, "b": False, "c": True}
        assert {name: each.target_port for name, each in found.items()} == {"a": 0, "b": 1, "c": 0}
        assert keys(unit, A)[0] == 2

    @pytest.mark.parametrize(
        ("more", "code"),
        [
            (b"", LENGTH_ERROR),
            (bytes(3), LENGTH_ERROR),
            (bytes([0, 0, 0, 1]), LENGTH_ERROR),
            (bytes([0, 0, 0, 0, 1]), LENGTH_ERROR),
            (bytes([0, 0, 0, 3, 0x45, 0, 0]), LENGTH_ERROR),
            ((2 * len(port_id(C))).to_bytes(4, "big") + 2 * port_id(C), INVALID_PARAMETER),
            (len(port_id(C)).to_bytes(4, "big") + b"\x05" + port_id(C)[1:], INVALID_PARAMETER),
        ],
    )
    def test_lists_that_are_none(self, more: bytes, code: tuple[int, int, int]) -> None:
        unit = new_unit(A)
        assert fault(out(unit, A, REGISTER, 0, 7, flags=SPEC_I_PT, more=more)).code == code
        assert keys(unit, A) == (0, [])

    def test_only_to_register_anew(self, unit: LogicalUnit) -> None:
        more = len(port_id(C)).to_bytes(4, "big") + port_id(C)
        for action, key in ((REGISTER, 1), (IGNORE, 0), (RESERVE, 1), (PREEMPT, 1)):
            found = fault(out(unit, A, action, key, 8, WE, SPEC_I_PT, more))
            assert (found.code, found.parameter) == (INVALID_PARAMETER, (20, 3))
        assert keys(unit, A) == (3, [1, 2, 3])


class TestParameterList:
    @pytest.mark.parametrize("action", range(7))
    @pytest.mark.parametrize("length", [0, 8, 23, 25, 64])
    def test_a_wrong_length(self, unit: LogicalUnit, action: int, length: int) -> None:
        data = (1).to_bytes(8, "big") + bytes(56)
        assert fault(unit.start(A, out_cdb(action, length, WE), data[:length])).code == LENGTH_ERROR
        assert keys(unit, A) == (3, [1, 2, 3])

    def test_less_data_than_the_cdb_says(self, unit: LogicalUnit) -> None:
        outcome = unit.start(A, out_cdb(CLEAR, 24), bytes(23))
        assert fault(outcome).code == SHORT_DATA
        assert isinstance(outcome, Result)
        assert outcome.data_out_used == 24

    @pytest.mark.parametrize("action", [RESERVE, PREEMPT, PREEMPT_AND_ABORT])
    def test_the_scope_of_a_new_reservation_is_the_logical_unit(self, unit: LogicalUnit, action: int) -> None:
        if action != RESERVE:
            done(out(unit, B, RESERVE, 2, kind=WE))
        before = reservation(unit, A)
        found = fault(out(unit, A, action, 1, 2, 0x10 | WE))
        assert (found.code, found.field) == (INVALID_FIELD, (2, 7))
        assert reservation(unit, A) == before

    def test_a_release_names_the_scope_of_the_reservation(self, unit: LogicalUnit) -> None:
        done(out(unit, A, RELEASE, 1, kind=0x10 | WE))
        done(out(unit, A, RESERVE, 1, kind=WE))
        assert fault(out(unit, A, RELEASE, 1, kind=0x10 | WE)).code == INVALID_RELEASE
        assert reservation(unit, A) == (1, WE)

    def test_what_only_takes_registrations_has_no_scope_and_no_type(self, unit: LogicalUnit) -> None:
        done(out(unit, A, RESERVE, 1, kind=WE))
        done(out(unit, B, PREEMPT, 2, 3, kind=0xFF))
        assert keys(unit, A)[1] == [1, 2]
        assert reservation(unit, A) == (1, WE)

    @pytest.mark.parametrize("kind", set(range(16)) - set(TYPES))
    def test_a_type_that_is_none(self, unit: LogicalUnit, kind: int) -> None:
        found = fault(out(unit, A, RESERVE, 1, kind=kind))
        assert (found.code, found.field) == (INVALID_FIELD, (2, 3))

    @pytest.mark.parametrize("action", [REGISTER, IGNORE, CLEAR])
    def test_scope_and_type_are_ignored(self, action: int) -> None:
        unit = new_unit(A)
        done(out(unit, A, IGNORE, 0, 1))
        done(out(unit, A, action, 1, 2, kind=0xFF))

    def test_a_conflict_and_a_refusal_tell_what_the_cdb_asked_for(self, unit: LogicalUnit) -> None:
        for outcome in (out(unit, A, CLEAR, 9), out(unit, A, RESERVE, 1, kind=2)):
            assert isinstance(outcome, Result)
            assert outcome.data_out_used == 24


def test_no_more_registrations_than_there_is_room_for() -> None:
    unit = new_unit()
    crowd = [Nexus("iqn.2026-11.test:host", number.to_bytes(6, "big")) for number in range(MAX_REGISTRATIONS)]
    for nexus in crowd:
        unit.start(nexus, bytes(6))
        done(out(unit, nexus, IGNORE, 0, 1))
    unit.start(A, bytes(6))
    assert fault(out(unit, A, IGNORE, 0, 1)).code == NO_ROOM
    done(out(unit, crowd[0], IGNORE, 0, 2))
    told = int.from_bytes(read_in(unit, A, 3, 8)[4:8], "big")
    assert told > MAX_REGISTRATIONS * 24, "the length counts everything, whatever fits"


class TestReadingIn:
    def test_the_lists_are_cut_and_their_lengths_stay(self, unit: LogicalUnit) -> None:
        done(out(unit, A, RESERVE, 1, kind=EA))
        for action in range(4):
            whole = read_in(unit, A, action)
            for allocation in (0, 1, 8, 12, len(whole)):
                assert read_in(unit, A, action, allocation) == whole[:allocation]

    def test_capabilities_without_a_place_to_keep_them(self, unit: LogicalUnit) -> None:
        assert read_in(unit, A, 2) == bytes([0, 8, 0x1C, 0xB0, 0xEA, 0x01, 0, 0])
        found = fault(out(unit, A, REGISTER, 1, 2, flags=APTPL))
        assert (found.code, found.parameter) == (INVALID_PARAMETER, (20, 0))

    def test_capabilities_with_one(self) -> None:
        unit = new_unit(A, store=MemoryStore())
        assert read_in(unit, A, 2) == bytes([0, 8, 0x1D, 0xB0, 0xEA, 0x01, 0, 0])
        done(out(unit, A, REGISTER, 0, 2, flags=APTPL))
        assert read_in(unit, A, 2) == bytes([0, 8, 0x1D, 0xB1, 0xEA, 0x01, 0, 0])
        done(out(unit, A, REGISTER, 2, 2))
        assert read_in(unit, A, 2)[3] == 0xB0

    @pytest.mark.parametrize("action", range(4, 32))
    def test_there_are_no_other_service_actions(self, unit: LogicalUnit, action: int) -> None:
        found = fault(unit.start(A, bytes([0x5E, action, 0, 0, 0, 0, 0, 0, 255, 0])))
        assert (found.code, found.field) == (INVALID_FIELD, (1, 4))

    def test_the_generation_wraps(self) -> None:
        assert State(generation=0xFFFFFFFF).advanced().generation == 0


def test_attentions_and_conflicts_in_the_order_of_the_standard(unit: LogicalUnit) -> None:
    """A reset is told ahead of a conflict, and other news after it (SAM-5, status precedence)."""
    done(out(unit, A, RESERVE, 1, kind=EA))
    fresh = Nexus("iqn.2026-11.test:fresh", bytes(6))
    assert fault(unit.start(fresh, WRITE, BLOCK)).code == (6, 0x29, 0)
    assert conflicts(unit.start(fresh, WRITE, BLOCK))
    unit.resize(1 << 20)
    assert conflicts(unit.start(fresh, WRITE, BLOCK))
    assert fault(unit.start(fresh, bytes(6))).code == (6, 0x2A, 9)
    assert good(unit.start(fresh, bytes(6))) == b""
