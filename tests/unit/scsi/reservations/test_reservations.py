"""Keeping, forgetting, and several sessions at once."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.unit.scsi.reservations.support import (
    APTPL,
    BLOCK,
    CLEAR,
    EA,
    REGISTER,
    RESERVE,
    WE,
    WRITE,
    MemoryStore,
    allowed,
    conflicts,
    done,
    keys,
    new_unit,
    news,
    out,
    out_cdb,
    read_in,
    reservation,
)
from tests.unit.scsi.support import A, B, C, fault
from twinlock.scsi.command import Outcome
from twinlock.scsi.logical_unit import LogicalUnit
from twinlock.scsi.nexus import Nexus
from twinlock.scsi.operations import GOOD, Later, Operation
from twinlock.scsi.reservations.actions import Conflict, Request, register
from twinlock.wire.scsi_sense import SenseCode

RESERVE_6, RELEASE_6 = bytes([0x16, 0, 0, 0, 0, 0]), bytes([0x17, 0, 0, 0, 0, 0])
RESERVE_10, RELEASE_10 = bytes([0x56, *bytes(9)]), bytes([0x57, *bytes(9)])
POWER_ON = (6, 0x29, 1)
BUS_RESET, POWERED_ON = SenseCode.BUS_RESET_OCCURRED, SenseCode.POWER_ON_OCCURRED


class SlowStore(MemoryStore):
    """The first save takes until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.saving, self.go_on = threading.Event(), threading.Event()

    def save(self, data: bytes) -> None:
        if not self.saving.is_set():
            self.saving.set()
            assert self.go_on.wait(10)
        super().save(data)


def reserved(store: MemoryStore | None, flags: int) -> LogicalUnit:
    """A and B registered, and A holding the unit."""
    unit = new_unit(A, B, C, store=store)
    done(out(unit, A, REGISTER, 0, 1, flags=flags))
    done(out(unit, B, REGISTER, 0, 2, flags=flags))
    done(out(unit, A, RESERVE, 1, kind=EA))
    return unit


class TestKept:
    def test_across_restarts(self) -> None:
        store = MemoryStore()
        reserved(store, APTPL)
        unit = new_unit(A, B, C, store=store)
        assert keys(unit, A) == (0, [1, 2])
        assert reservation(unit, A) == (1, EA)
        assert conflicts(unit.start(B, WRITE, BLOCK))
        assert allowed(unit.start(A, WRITE, BLOCK))

    def test_not_unless_asked(self) -> None:
        store = MemoryStore()
        reserved(store, 0)
        assert store.saves == 0
        assert keys(new_unit(A, store=store), A) == (0, [])

    def test_the_last_registration_decides(self) -> None:
        store = MemoryStore()
        unit = reserved(store, APTPL)
        done(out(unit, B, REGISTER, 2, 22))
        assert keys(new_unit(A, store=store), A) == (0, [])
        done(out(unit, B, REGISTER, 22, 2, flags=APTPL))
        assert keys(new_unit(A, store=store), A) == (0, [1, 2])

    def test_a_stranger_cannot_end_it(self) -> None:
        store = MemoryStore()
        unit = reserved(store, APTPL)
        done(out(unit, C, REGISTER, 0, 0))
        assert keys(new_unit(A, store=store), A) == (0, [1, 2])

    def test_what_changes_nothing_is_not_saved(self) -> None:
        store = MemoryStore()
        unit = reserved(store, APTPL)
        before = store.saves
        done(out(unit, A, RESERVE, 1, kind=EA))
        assert conflicts(out(unit, B, RESERVE, 2, kind=EA))
        assert store.saves == before

    def test_it_is_saved_before_it_counts(self) -> None:
        store = MemoryStore()
        unit = reserved(store, APTPL)
        store.broken = True
        assert fault(out(unit, B, CLEAR, 2)).code == (4, 0x44, 0)
        assert keys(unit, B) == (2, [1, 2])
        assert reservation(unit, B) == (1, EA)
        assert news(unit, A) == []


class TestResets:
    def test_a_reset_keeps_what_is_persistent(self) -> None:
        unit = reserved(None, 0)
        unit.reset(BUS_RESET)()
        assert news(unit, A) == [(6, 0x29, 2)]
        assert keys(unit, A) == (2, [1, 2])
        assert reservation(unit, A) == (1, EA)

    @pytest.mark.parametrize("flags", [0, APTPL])
    def test_a_power_on_keeps_what_was_to_be_kept(self, flags: int) -> None:
        unit = reserved(MemoryStore(), flags)
        unit.power_on(POWERED_ON)()
        assert fault(unit.start(A, bytes(6))).code == POWER_ON
        assert keys(unit, A) == (0, [1, 2] if flags else [])
        assert reservation(unit, A) == ((1, EA) if flags else None)

    def test_the_loss_of_a_nexus_keeps_its_registration(self) -> None:
        unit = reserved(None, 0)
        unit.nexus_lost(A)
        assert reservation(unit, B) == (1, EA)
        unit.start(A, bytes(6))
        assert allowed(unit.start(A, WRITE, BLOCK))


class TestSlowStore:
    """What is being kept holds up nothing that it does not concern."""

    @pytest.fixture
    def unit(self) -> Iterator[LogicalUnit]:
        """A registers, and the disk that shall keep that hangs."""
        store = SlowStore()
        unit = new_unit(A, B, store=store)
        command = unit.start(A, out_cdb(REGISTER, 24), bytes(15) + bytes([1, 0, 0, 0, 0, APTPL, 0, 0, 0]))
        assert isinstance(command, Later), "whoever starts it must not have to wait"
        thread = threading.Thread(target=command.run)
        thread.start()
        assert store.saving.wait(10)
        yield unit
        store.go_on.set()
        thread.join(10)
        news(unit, A)
        assert keys(unit, A)[1] == [1], "nothing came in its way"

    @pytest.mark.parametrize(
        "action",
        [
            lambda unit: unit.nexus_lost(B),
            lambda unit: unit.reset(BUS_RESET)(),
            lambda unit: unit.start(B, RELEASE_6),
            lambda unit: conflicts(unit.start(B, RESERVE_6)),
            lambda unit: isinstance(unit.start(B, out_cdb(CLEAR, 24), bytes(24)), Later),
        ],
        ids=["nexus lost", "reset", "release", "reserve", "another change"],
    )
    def test_nobody_else_waits(self, unit: LogicalUnit, action: Callable[[LogicalUnit], object]) -> None:
        answers: list[object] = []
        thread = threading.Thread(target=lambda: answers.append(action(unit)), daemon=True)
        thread.start()
        thread.join(5)
        assert answers, "it waits for the disk"
        assert answers[0] is not False


class TestReserve6:
    def test_a_reset_ends_it_when_what_was_aborted_has_ended(self) -> None:
        unit = new_unit(A, B)
        unit.start(A, RESERVE_6)
        ending = unit.reset(BUS_RESET)
        news(unit, B)
        assert conflicts(unit.start(B, RESERVE_6))
        ending()
        assert unit.start(B, RESERVE_6) == GOOD

    @pytest.mark.parametrize("newcomer", [A, B])
    def test_one_that_is_made_after_a_reset_stays(self, newcomer: Nexus) -> None:
        unit = new_unit(A, B)
        unit.start(A, RESERVE_6)
        ending = unit.reset(BUS_RESET)
        for nexus in (A, B):
            news(unit, nexus)
        unit.start(A, RELEASE_6)
        assert unit.start(newcomer, RESERVE_6) == GOOD
        ending()
        assert conflicts(unit.start(A if newcomer is B else B, WRITE, BLOCK))

    @pytest.mark.parametrize(("reserve", "release"), [(RESERVE_6, RELEASE_6), (RESERVE_10, RELEASE_10)])
    def test_one_at_a_time(self, reserve: bytes, release: bytes) -> None:
        unit = new_unit(A, B)
        assert unit.start(A, reserve) == GOOD
        assert unit.start(A, reserve) == GOOD
        assert conflicts(unit.start(B, reserve))
        assert conflicts(unit.start(B, bytes(6)))
        assert conflicts(unit.start(B, WRITE, BLOCK))
        assert isinstance(unit.start(A, WRITE, BLOCK), Operation)
        assert unit.start(B, release) == GOOD
        assert conflicts(unit.start(B, reserve))
        assert unit.start(A, release) == GOOD
        assert unit.start(B, reserve) == GOOD

    @pytest.mark.parametrize("end", ["lost", "reset", "power"])
    def test_it_ends(self, end: str) -> None:
        unit = new_unit(A, B)
        unit.start(A, RESERVE_6)
        ends: dict[str, Callable[[], Callable[[], None] | None]] = {
            "lost": partial(unit.nexus_lost, A),
            "reset": partial(unit.reset, BUS_RESET),
            "power": partial(unit.power_on, POWERED_ON),
        }
        if (ending := ends[end]()) is not None:
            ending()
        news(unit, B)
        assert unit.start(B, RESERVE_6) == GOOD

    def test_the_loss_of_another_nexus_does_not_end_it(self) -> None:
        unit = new_unit(A, B, C)
        unit.start(A, RESERVE_6)
        unit.nexus_lost(B)
        assert conflicts(unit.start(C, WRITE, BLOCK))

    def test_it_keeps_persistent_reservations_out_even_of_its_holder(self) -> None:
        unit = new_unit(A, B)
        unit.start(A, RESERVE_6)
        for nexus in (A, B):
            assert conflicts(out(unit, nexus, REGISTER, 0, 1))
            assert conflicts(unit.start(nexus, bytes([0x5E, 0, 0, 0, 0, 0, 0, 0, 8, 0])))

    def test_it_is_kept_out_by_registrations(self) -> None:
        unit = new_unit(A, B)
        done(out(unit, A, REGISTER, 0, 1))
        for nexus in (A, B):
            assert conflicts(unit.start(nexus, RESERVE_6))
            assert conflicts(unit.start(nexus, RELEASE_6))

    def test_who_holds_the_unit_anyway_gets_good_and_nothing_else(self) -> None:
        """The exceptions that CRH announces."""
        unit = new_unit(A, B)
        done(out(unit, A, REGISTER, 0, 1))
        done(out(unit, A, RESERVE, 1, kind=WE))
        assert unit.start(A, RESERVE_6) == GOOD
        assert unit.start(A, RELEASE_6) == GOOD
        assert conflicts(unit.start(B, RESERVE_6))
        assert reservation(unit, A) == (1, WE)
        assert read_in(unit, A, 2)[2] & 0x10

    @pytest.mark.parametrize(
        ("cdb", "field"),
        [
            ("161000000000", (1, 4)),
            ("160100000000", (1, 0)),
            ("171000000000", (1, 4)),
            ("56100000000000000000", (1, 4)),
            ("56020000000000000000", (1, 1)),
            ("56000000000000000800", (7, None)),
            ("57010000000000000000", (1, 0)),
        ],
    )
    def test_no_extents_and_no_third_parties(self, cdb: str, field: tuple[int, int | None]) -> None:
        unit = new_unit(A, B)
        assert fault(unit.start(A, bytes.fromhex(cdb))).field == field
        assert unit.start(B, RESERVE_6) == GOOD


def _reserve(unit: LogicalUnit, nexus: Nexus) -> Outcome:
    return out(unit, nexus, RESERVE, 1, kind=EA)


class TestAtOnce:
    """Sessions call a unit from threads of their own."""

    CROWD = tuple(Nexus("iqn.2026-11.test:host", bytes([0, 0, 0, 0, 0, n])) for n in range(8))

    def test_only_one_of_many_gets_a_reservation(self) -> None:
        for _ in range(20):
            unit = new_unit(*self.CROWD)
            for nexus in self.CROWD:
                done(out(unit, nexus, REGISTER, 0, 1))
            results = self.together(partial(_reserve, unit))
            assert sorted(map(conflicts, results)) == [False] + [True] * 7

    def test_no_registration_and_no_generation_is_lost(self) -> None:
        unit = new_unit(*self.CROWD)

        def work(nexus: Nexus) -> None:
            for number in range(50):
                done(out(unit, nexus, REGISTER, number, number + 1))

        self.together(work)
        assert keys(unit, self.CROWD[0]) == (400, [50] * 8)

    def test_never_both_kinds_of_reservation(self) -> None:
        for _ in range(50):
            unit = new_unit(A, B)
            outcomes: dict[Nexus, bool] = {}

            def work(nexus: Nexus, unit: LogicalUnit = unit, outcomes: dict[Nexus, bool] = outcomes) -> None:
                outcome = unit.start(A, RESERVE_6) if nexus == A else out(unit, B, REGISTER, 0, 1)
                outcomes[nexus] = not conflicts(outcome)

            self.together(work, (A, B))
            assert sorted(outcomes.values()) == [False, True]

    def test_the_kinds_exclude_each_other_also_behind_the_first_look(self) -> None:
        """Between a command's first check and its effect somebody else may have come."""
        unit = new_unit(A, B)
        unit.reservations.reserve(A)
        with pytest.raises(Conflict):
            unit.reservations.apply(register, Request(B, 0, 1))
        with pytest.raises(Conflict):
            unit.reservations.reserve(B)
        unit.reservations.release(A)
        unit.reservations.apply(register, Request(B, 0, 1))
        with pytest.raises(Conflict):
            unit.reservations.reserve(A)

    def test_changes_wait_for_each_other_and_reads_for_none(self) -> None:
        store = SlowStore()
        unit = new_unit(A, B, store=store)
        first, second = (
            threading.Thread(target=out, args=(unit, nexus, REGISTER, 0, key), kwargs={"flags": APTPL})
            for nexus, key in ((A, 1), (B, 2))
        )
        first.start()
        assert store.saving.wait(10)
        second.start()
        second.join(0.2)
        assert second.is_alive()
        assert keys(unit, A) == (0, [])
        assert allowed(unit.start(B, WRITE, BLOCK))
        store.go_on.set()
        for thread in (first, second):
            thread.join(10)
        assert keys(unit, A) == (2, [1, 2])

    def together(self, work: Callable[[Nexus], Any], nexuses: tuple[Nexus, ...] = CROWD) -> list[Any]:
        """What ``work`` returned for each nexus, all begun at the same moment."""
        barrier = threading.Barrier(len(nexuses))
        results: list[Any] = [None] * len(nexuses)

        def run(at: int, nexus: Nexus) -> None:
            barrier.wait()
            results[at] = work(nexus)

        threads = [threading.Thread(target=run, args=pair) for pair in enumerate(nexuses)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results
