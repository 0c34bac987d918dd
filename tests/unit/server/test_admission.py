"""Who may use the volume: the decisions, with sessions that are played."""

import threading
from collections.abc import Callable

import pytest

from tests.support.rig import eventually
from tests.support.timer import PATIENCE, FakeTimer
from twinlock.scsi.nexus import Nexus
from twinlock.server.admission import MAX_NEWCOMERS, MAX_SESSIONS, TURNED_AWAY, Admission
from twinlock.server.in_flight import Affected, InFlight
from twinlock.server.sessions import Sessions
from twinlock.wire.iscsi_codes import LoginStatus

SECONDS = 10.0
ISID, OTHER_ISID = bytes(6), b"\1" * 6
SUCCESS = LoginStatus.SUCCESS


class FakeTarget:
    """Remembers which nexuses were lost."""

    def __init__(self) -> None:
        self.lost: list[Nexus] = []

    def nexus_lost(self, nexus: Nexus) -> None:
        self.lost.append(nexus)


class FakeSession:
    """A session that answers pings or not, and ends when its commands have."""

    def __init__(self, world: "World", name: str, isid: bytes = ISID, *, busy: bool = False) -> None:
        self.nexus = Nexus(name, isid)
        self.in_flight = InFlight()
        self.alive = True
        self.gone = False
        self.busy = busy
        self.pinged = 0
        self.dropped = 0
        self.last_heard = 0.0
        self._world = world

    def abort_tasks(self, affected: Affected) -> None:
        raise AssertionError("nobody manages tasks here")

    def drop(self, *, all_sessions: bool = False) -> None:
        self.dropped += 1
        if not self.busy:
            self._world.sessions.remove(self)

    def is_gone(self) -> bool:
        return self.gone

    def answers_ping(self, patience: float, given_up: Callable[[], bool] = lambda: False) -> bool:
        self.pinged += 1
        if self.alive:
            return True
        until = self._world.timer.now() + patience
        with self._world.sessions.changed:
            while self._world.timer.now() < until and not given_up():
                self._world.timer.wait_for(self._world.sessions.changed, given_up, 1.0)
        return False

    def end(self) -> None:
        """Its last command has ended."""
        self._world.sessions.remove(self)


class World:
    """An admission and its surroundings."""

    def __init__(self, *, shared: bool = False) -> None:
        self.target = FakeTarget()
        self.timer = FakeTimer()
        self.sessions = Sessions(self.target)  # type: ignore[arg-type]
        self.admission = Admission(self.sessions, SECONDS, shared=shared, timer=self.timer)
        self.admitted: dict[FakeSession, LoginStatus] = {}

    def session(self, name: str, isid: bytes = ISID, *, busy: bool = False) -> FakeSession:
        return FakeSession(self, name, isid, busy=busy)

    def hold(self, name: str, isid: bytes = ISID, *, busy: bool = False) -> FakeSession:
        """A session that was admitted."""
        session = self.session(name, isid, busy=busy)
        assert self.admission.admit(session) is SUCCESS
        return session

    def start(self, session: FakeSession) -> threading.Thread:
        """Admit on a thread of its own."""

        def run() -> None:
            self.admitted[session] = self.admission.admit(session)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(("name", "isid"), [("pc", ISID), ("mac", OTHER_ISID)], ids=["name", "ISID"])
def test_a_living_holder_keeps_its_place(world: World, name: str, isid: bytes) -> None:
    holder = world.hold("mac")
    assert world.admission.admit(world.session(name, isid)) is TURNED_AWAY
    assert (holder.pinged, holder.dropped) == (1, 0)
    assert world.sessions.all() == [holder]


@pytest.mark.parametrize(("name", "isid"), [("pc", ISID), ("mac", OTHER_ISID)], ids=["name", "ISID"])
def test_a_silent_holder_goes_after_the_patience(world: World, name: str, isid: bytes) -> None:
    holder, newcomer = world.hold("mac"), world.session(name, isid)
    holder.alive = False
    thread = world.start(newcomer)
    world.timer.await_sleepers()
    world.timer.advance(SECONDS - 1)
    assert holder.dropped == 0
    world.timer.advance(1)
    thread.join(PATIENCE)
    assert world.admitted == {newcomer: SUCCESS}
    assert holder.dropped == 1
    assert world.target.lost == [holder.nexus]


def test_a_reinstatement_asks_nobody(world: World) -> None:
    holder, again = world.hold("mac"), world.session("mac")
    assert world.admission.admit(again) is SUCCESS
    assert (holder.pinged, holder.dropped) == (0, 1)
    assert world.sessions.all() == [again]


def test_a_holder_that_has_left_is_not_asked(world: World) -> None:
    holder = world.hold("mac")
    holder.alive, holder.gone = False, True
    assert world.admission.admit(world.session("pc")) is SUCCESS
    assert holder.pinged == 0


@pytest.mark.parametrize("name", ["mac", "pc"], ids=["reinstatement", "other name"])
def test_nobody_is_let_in_before_the_last_command_has_ended(world: World, name: str) -> None:
    holder, newcomer = world.hold("mac", busy=True), world.session(name)
    holder.gone = True
    thread = world.start(newcomer)
    eventually(lambda: holder.dropped)
    world.timer.await_sleepers()
    world.timer.advance(1000)
    assert newcomer not in world.admitted
    holder.end()
    thread.join(PATIENCE)
    assert world.admitted[newcomer] is SUCCESS


def test_a_returning_holder_need_not_wait_for_the_one_that_asks_for_its_place(world: World) -> None:
    """A laptop wakes up while somebody else waits for it to be found silent."""
    holder, other, again = world.hold("mac"), world.session("pc"), world.session("mac")
    holder.alive = False
    waiting = world.start(other)
    world.timer.await_sleepers()
    assert world.admission.admit(again) is SUCCESS
    world.timer.advance(SECONDS)
    waiting.join(PATIENCE)
    assert world.admitted[other] is TURNED_AWAY, "the newcomer meets a holder that lives"
    assert world.sessions.all() == [again]


def test_the_place_of_a_holder_that_returns_is_not_for_others(world: World) -> None:
    """Between the end of the old session and the beginning of the new one, the place is not free."""
    holder, again = world.hold("mac", busy=True), world.session("mac")
    thread = world.start(again)
    eventually(lambda: holder.dropped)
    world.timer.await_sleepers()
    with world.sessions.changed:  # nobody else gets a turn
        holder.end()
        assert world.admission.admit(world.session("pc")) is TURNED_AWAY
    thread.join(PATIENCE)
    assert world.admitted[again] is SUCCESS


def test_a_place_that_nobody_returns_to_is_free_again(world: World) -> None:
    holder, again = world.hold("mac", busy=True), world.session("mac")
    thread = world.start(again)
    eventually(lambda: holder.dropped)
    again.gone = True
    world.timer.await_sleepers()
    world.timer.advance(1)
    thread.join(PATIENCE)
    holder.end()
    assert world.admission.admit(world.session("pc")) is SUCCESS


def test_a_newcomer_that_is_gone_evicts_nobody(world: World) -> None:
    """An abandoned attempt of the same initiator must not end the session that came after it."""
    holder, late = world.hold("mac"), world.session("mac")
    late.gone = True
    assert world.admission.admit(late) is TURNED_AWAY
    assert world.sessions.all() == [holder]
    assert holder.dropped == 0


def test_the_later_of_two_attempts_counts(world: World) -> None:
    """An initiator that gave up and tries again must not meet its own earlier attempt."""
    holder = world.hold("mac", busy=True)
    first, second = world.session("mac"), world.session("mac")
    earlier = world.start(first)
    eventually(lambda: holder.dropped)
    later = world.start(second)
    earlier.join(PATIENCE)
    assert world.admitted[first] is TURNED_AWAY
    holder.end()
    later.join(PATIENCE)
    assert world.admitted[second] is SUCCESS


def test_newcomers_that_wait_are_bounded_and_a_returning_holder_passes_them(world: World) -> None:
    holder = world.hold("mac")
    holder.alive = False
    waiting = [world.start(world.session(f"pc{number}")) for number in range(MAX_NEWCOMERS)]
    world.timer.await_sleepers(MAX_NEWCOMERS)
    assert world.admission.admit(world.session("one more")) is TURNED_AWAY
    assert world.admission.admit(world.session("mac")) is SUCCESS
    world.timer.advance(SECONDS)
    for thread in waiting:
        thread.join(PATIENCE)
    assert set(world.admitted.values()) == {TURNED_AWAY}


def test_one_that_waits_and_leaves_makes_room(world: World) -> None:
    holder = world.hold("mac")
    holder.alive = False
    newcomers = [world.session(f"pc{number}") for number in range(MAX_NEWCOMERS)]
    threads = [world.start(newcomer) for newcomer in newcomers]
    world.timer.await_sleepers(MAX_NEWCOMERS)
    newcomers[0].gone = True
    world.timer.advance(1)
    threads[0].join(PATIENCE)
    last = world.start(world.session("last"))
    world.timer.await_sleepers(MAX_NEWCOMERS)
    world.admission.close()
    for thread in [*threads, last]:
        thread.join(PATIENCE)


def test_nobody_is_admitted_to_what_is_closing(world: World) -> None:
    world.admission.close()
    assert world.admission.admit(world.session("mac")) is LoginStatus.SERVICE_UNAVAILABLE


def test_who_waits_hears_of_the_closing(world: World) -> None:
    holder, newcomer = world.hold("mac"), world.session("pc")
    holder.alive = False
    thread = world.start(newcomer)
    world.timer.await_sleepers()
    world.admission.close()
    thread.join(PATIENCE)
    assert world.admitted[newcomer] is LoginStatus.SERVICE_UNAVAILABLE


# -- shared mode --------------------------------------------------------------------------------------


def test_shared_mode_has_room_for_many() -> None:
    world = World(shared=True)
    sessions = [world.hold("node", bytes([number] * 6)) for number in range(MAX_SESSIONS)]
    assert world.sessions.all() == sessions
    assert {session.pinged for session in sessions} == {0}


def test_shared_mode_still_reinstates() -> None:
    world = World(shared=True)
    first, other = world.hold("a"), world.hold("b")
    again = world.hold("a")
    assert world.sessions.all() == [other, again]
    assert (first.pinged, first.dropped) == (0, 1)


def test_a_full_house_asks_whoever_was_silent_for_longest() -> None:
    world = World(shared=True)
    sessions = [world.hold(f"node{number}") for number in range(MAX_SESSIONS)]
    for number, session in enumerate(sessions):
        session.last_heard = 100.0 - (number == 7)
    assert world.admission.admit(world.session("late")) is TURNED_AWAY
    assert [session.pinged for session in sessions].index(1) == 7
    sessions[7].gone = True
    assert world.admission.admit(world.session("late")) is SUCCESS
    assert sessions[7] not in world.sessions.all()


def test_the_nexus_of_a_session_that_was_never_admitted_is_not_lost(world: World) -> None:
    """It may be that of a session that lives on."""
    holder, refused = world.hold("mac"), world.session("mac")
    world.sessions.remove(refused)
    assert world.target.lost == []
    world.sessions.remove(holder)
    assert world.target.lost == [holder.nexus]
