"""Any history of reservations, against a model that was written from the standard's prose.

The model knows nothing of tables and states: it keeps a dict of keys, the name
of a holder, and a list of news for each nexus.
"""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.scsi.reservations.support import (
    APTPL,
    BLOCK,
    CLEAR,
    IGNORE,
    LOST,
    PREEMPT,
    PREEMPT_AND_ABORT,
    PREEMPTED,
    READ,
    REGISTER,
    RELEASE,
    RELEASED,
    RESERVE,
    TEST_UNIT_READY,
    TYPES,
    WRITE,
    MemoryStore,
    allowed,
    full_status,
    keys,
    move,
    new_unit,
    news,
    out,
    port_id,
    read_in,
    reservation,
)
from tests.unit.scsi.support import A, B, C, fault
from twinlock.scsi.logical_unit import LogicalUnit
from twinlock.scsi.nexus import Nexus
from twinlock.scsi.operations import AbortTasks, Result, Status

D = Nexus(A.initiator_name, b"\0\0\0\0\0\1")
EVERY = (A, B, C, D)
RESERVE_6, RELEASE_6 = bytes([0x16, 0, 0, 0, 0, 0]), bytes([0x17, 0, 0, 0, 0, 0])
INVALID_RELEASE, INVALID_PARAMETER, INVALID_CDB = (5, 0x26, 4), (5, 0x26, 0), (5, 0x24, 0)

nexuses = st.sampled_from(EVERY)
few_keys = st.sampled_from([0, 1, 2, 3])
kinds = st.sampled_from(TYPES)
GOOD, CONFLICT = "good", "conflict"


class Model:
    """What SPC-4 5.9 says, one sentence after the other."""

    def __init__(self) -> None:
        self.keys: dict[Nexus, int] = {}
        self.kind = 0
        self.holder: Nexus | None = None
        self.generation = 0
        self.kept = False
        self.owner: Nexus | None = None
        self.news: dict[Nexus, list[Any]] = {nexus: [] for nexus in EVERY}

    @property
    def of_all(self) -> bool:
        return self.kind in (7, 8)

    def is_holder(self, nexus: Nexus) -> bool:
        return nexus in self.keys and bool(self.kind) and (self.of_all or self.holder == nexus)

    def tell(self, code: Any, *nexuses: Nexus) -> None:
        for nexus in nexuses:
            if code not in self.news[nexus]:
                self.news[nexus].append(code)

    def free(self) -> None:
        self.kind, self.holder = 0, None

    def drop(self, nexus: Nexus) -> None:
        """Remove a registration; a reservation does not outlive its last holder."""
        del self.keys[nexus]
        if self.of_all:
            if not self.keys:
                self.free()
        elif self.holder == nexus:
            self.free()

    def register(self, nexus: Nexus, key: int, new: int, ignore: bool, keep: bool) -> Any:
        if self.owner is not None:
            return CONFLICT
        if not ignore and key != self.keys.get(nexus, 0):
            return CONFLICT
        self.generation += 1
        if new:
            self.keys[nexus] = new
            self.kept = keep
        elif nexus in self.keys:
            kind, held = self.kind, self.is_holder(nexus)
            self.drop(nexus)
            self.kept = keep
            if held and not self.kind and kind >= 5:
                self.tell(RELEASED, *self.keys)
        return GOOD

    def may(self, nexus: Nexus, key: int) -> bool:
        return self.owner is None and self.keys.get(nexus) == key

    def reserve(self, nexus: Nexus, key: int, kind: int) -> Any:
        if not self.may(nexus, key):
            return CONFLICT
        if self.kind:
            return GOOD if self.is_holder(nexus) and self.kind == kind else CONFLICT
        self.kind, self.holder = kind, None if kind in (7, 8) else nexus
        return GOOD

    def release(self, nexus: Nexus, key: int, kind: int) -> Any:
        if not self.may(nexus, key):
            return CONFLICT
        if self.is_holder(nexus):
            if kind != self.kind:
                return INVALID_RELEASE
            self.free()
            if kind >= 5:
                self.tell(RELEASED, *(each for each in self.keys if each != nexus))
        return GOOD

    def clear(self, nexus: Nexus, key: int) -> Any:
        if not self.may(nexus, key):
            return CONFLICT
        self.tell(PREEMPTED, *(each for each in self.keys if each != nexus))
        self.keys.clear()
        self.free()
        self.generation += 1
        return GOOD

    def preempt(self, nexus: Nexus, key: int, victim: int, kind: int) -> Any:
        """Returns who lost a registration, if it is good."""
        if not self.may(nexus, key):
            return CONFLICT
        if not victim and not self.of_all:
            return INVALID_PARAMETER
        holders_key = 0 if self.of_all else self.keys.get(self.holder) if self.holder else None
        takes = bool(self.kind) and victim == holders_key
        if takes:
            losers = [each for each in self.keys if each != nexus and victim in (0, self.keys[each])]
        else:
            losers = [each for each in self.keys if self.keys[each] == victim]
            if not losers:
                return CONFLICT
        before = self.kind
        for each in losers:
            self.drop(each)
        self.tell(LOST, *(each for each in losers if each != nexus))
        if takes:
            self.kind, self.holder = kind, None if kind in (7, 8) else nexus
            if kind != before:
                self.tell(RELEASED, *(each for each in self.keys if each != nexus))
        self.generation += 1
        return [each for each in losers if each != nexus]

    def move(self, nexus: Nexus, heir: Nexus, key: int, new: int, unregister: bool) -> Any:
        if not self.may(nexus, key):
            return CONFLICT
        if not self.kind:
            return INVALID_CDB
        if self.of_all or self.holder != nexus:
            return CONFLICT
        if not new or heir == nexus:
            return INVALID_PARAMETER
        self.keys[heir] = new
        self.holder = heir
        self.kept = False
        if unregister:
            del self.keys[nexus]
        self.generation += 1
        return GOOD

    def allows(self, nexus: Nexus, writes: bool) -> bool:
        if self.owner is not None:
            return self.owner == nexus
        if not self.kind or self.is_holder(nexus):
            return True
        if self.kind >= 5 and nexus in self.keys:
            return True
        return not writes and self.kind in (1, 5, 7)

    def legacy(self, nexus: Nexus) -> str:
        """How RESERVE (6) ends, and whether it takes effect."""
        if self.owner is not None:
            return "effect" if self.owner == nexus else CONFLICT
        if not self.keys:
            return "effect"
        if self.is_holder(nexus) or (self.kind in (5, 6) and nexus in self.keys):
            return GOOD
        return CONFLICT


def ending(outcome: Any) -> Any:
    """In the model's words."""
    if isinstance(outcome, AbortTasks):
        return sorted(outcome.nexuses)
    assert isinstance(outcome, Result)
    if outcome.status is Status.CHECK_CONDITION:
        return fault(outcome).code
    return CONFLICT if outcome.status is Status.RESERVATION_CONFLICT else GOOD


class Histories(RuleBasedStateMachine):
    """Each rule is a command, sent to the unit and told to the model."""

    unit: LogicalUnit
    model: Model
    store: MemoryStore

    @initialize()
    def begin(self) -> None:
        self.store = MemoryStore()
        self.model = Model()
        self.unit = new_unit(*EVERY, store=self.store)

    def hear(self, nexus: Nexus) -> None:
        """The nexus takes note of its news, which would keep the next command from running."""
        assert news(self.unit, nexus) == self.model.news[nexus]
        self.model.news[nexus].clear()

    @rule(nexus=nexuses, key=few_keys, new=few_keys, ignore=st.booleans(), keep=st.booleans())
    def register(self, nexus: Nexus, key: int, new: int, ignore: bool, keep: bool) -> None:
        self.hear(nexus)
        outcome = out(self.unit, nexus, IGNORE if ignore else REGISTER, key, new, flags=APTPL * keep)
        assert ending(outcome) == self.model.register(nexus, key, new, ignore, keep)

    @rule(nexus=nexuses, key=few_keys)
    def register_for_sure(self, nexus: Nexus, key: int) -> None:
        self.register(nexus, 0, key, True, False)

    def own(self, nexus: Nexus, key: int | None) -> int:
        """Mostly the right key, or hardly anything would ever happen."""
        return self.model.keys.get(nexus, 0) if key is None else key

    @rule(nexus=nexuses, key=st.none() | few_keys, kind=kinds)
    def reserve(self, nexus: Nexus, key: int | None, kind: int) -> None:
        self.hear(nexus)
        given = self.own(nexus, key)
        outcome = out(self.unit, nexus, RESERVE, given, kind=kind)
        assert ending(outcome) == self.model.reserve(nexus, given, kind)

    @rule(nexus=nexuses, key=st.none() | few_keys, kind=st.none() | kinds)
    def release(self, nexus: Nexus, key: int | None, kind: int | None) -> None:
        self.hear(nexus)
        given, of = self.own(nexus, key), kind or self.model.kind or 1
        outcome = out(self.unit, nexus, RELEASE, given, kind=of)
        assert ending(outcome) == self.model.release(nexus, given, of)

    @rule(nexus=nexuses, key=st.none() | few_keys)
    def clear(self, nexus: Nexus, key: int | None) -> None:
        self.hear(nexus)
        given = self.own(nexus, key)
        assert ending(out(self.unit, nexus, CLEAR, given)) == self.model.clear(nexus, given)

    @rule(nexus=nexuses, key=st.none() | few_keys, victim=few_keys, kind=kinds, abort=st.booleans())
    def preempt(self, nexus: Nexus, key: int | None, victim: int, kind: int, abort: bool) -> None:
        self.hear(nexus)
        given = self.own(nexus, key)
        outcome = out(self.unit, nexus, PREEMPT_AND_ABORT if abort else PREEMPT, given, victim, kind)
        expected = self.model.preempt(nexus, given, victim, kind)
        if isinstance(expected, list):
            expected = sorted(expected) if abort and expected else GOOD
        assert ending(outcome) == expected

    @rule(nexus=nexuses, heir=nexuses, key=st.none() | few_keys, new=few_keys, unregister=st.booleans())
    def move(self, nexus: Nexus, heir: Nexus, key: int | None, new: int, unregister: bool) -> None:
        self.hear(nexus)
        given = self.own(nexus, key)
        outcome = move(self.unit, nexus, port_id(heir), given, new, flags=2 * unregister)
        assert ending(outcome) == self.model.move(nexus, heir, given, new, unregister)

    @rule(nexus=nexuses)
    def reserve_6(self, nexus: Nexus) -> None:
        self.hear(nexus)
        expected = self.model.legacy(nexus)
        assert ending(self.unit.start(nexus, RESERVE_6)) == (GOOD if expected == "effect" else expected)
        if expected == "effect":
            self.model.owner = nexus

    @rule(nexus=nexuses)
    def release_6(self, nexus: Nexus) -> None:
        self.hear(nexus)
        quiet = self.model.owner is not None or not self.model.keys
        expected = GOOD if quiet else self.model.legacy(nexus)
        assert ending(self.unit.start(nexus, RELEASE_6)) == expected
        if self.model.owner == nexus:
            self.model.owner = None

    @rule(nexus=nexuses)
    def the_nexus_is_lost_and_comes_back(self, nexus: Nexus) -> None:
        self.unit.nexus_lost(nexus)
        self.unit.start(nexus, TEST_UNIT_READY)
        self.model.news[nexus].clear()
        if self.model.owner == nexus:
            self.model.owner = None

    @rule()
    def the_unit_restarts(self) -> None:
        """Also a loss of power: only what was to be kept is there again."""
        self.unit = new_unit(*EVERY, store=self.store)
        before, self.model = self.model, Model()
        if before.kept:
            self.model.keys, self.model.kind, self.model.holder = before.keys, before.kind, before.holder
            self.model.kept = True

    @rule()
    @precondition(lambda self: self.model.kept)
    def a_store_that_fails_changes_nothing(self) -> None:
        self.store.broken = True
        for nexus, key in self.model.keys.items():
            self.hear(nexus)
            for action, new in ((IGNORE, 9), (CLEAR, 0)):
                expected = CONFLICT if self.model.owner else (4, 0x44, 0)
                assert ending(out(self.unit, nexus, action, key, new, flags=APTPL)) == expected
        self.store.broken = False

    @invariant()
    def the_unit_says_what_the_model_knows(self) -> None:
        if self.model.owner is not None:
            return  # PERSISTENT RESERVE IN conflicts with it
        self.hear(B)
        assert keys(self.unit, B) == (self.model.generation, list(self.model.keys.values()))
        held = None
        if self.model.kind:
            held = (0 if self.model.holder is None else self.model.keys[self.model.holder], self.model.kind)
        assert reservation(self.unit, B) == held
        assert bool(read_in(self.unit, B, 2)[3] & 1) is self.model.kept
        assert [(each.port, each.key, each.holder) for each in full_status(self.unit, B)] == [
            (nexus.port_name, key, self.model.is_holder(nexus)) for nexus, key in self.model.keys.items()
        ]

    @invariant()
    def it_lets_through_what_the_model_allows(self) -> None:
        for nexus in EVERY:
            self.hear(nexus)
            assert allowed(self.unit.start(nexus, READ)) is self.model.allows(nexus, writes=False)
            assert allowed(self.unit.start(nexus, WRITE, BLOCK)) is self.model.allows(nexus, writes=True)


Histories.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestHistories = Histories.TestCase
