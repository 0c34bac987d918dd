"""One initiator at a time: real connections, a real mirror with a slow member, and time that stands still.

``CASES`` is the table: what the holder is at, who comes, and what has to become of it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.support.rig import HELD, ISID, MAC, OTHER_ISID, PC, READ_16, TARGET, Peer, Rig, cdb, eventually
from tests.unit.block.arrays import BLOCK
from twinlock.block.mirror.layout import member_layout
from twinlock.scsi.nexus import Nexus
from twinlock.server.admission import TURNED_AWAY
from twinlock.wire.iscsi_codes import AsyncEvent, LoginStatus
from twinlock.wire.iscsi_responses import AsyncMessage, LogoutResponse

SECONDS = 10.0
FEW_THREADS = 4
SUCCESS = LoginStatus.SUCCESS


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig(patience=SECONDS) as made:
        yield made


# -- what the holder is at ----------------------------------------------------------------------------


def alive(_rig: Rig, holder: Peer) -> None:
    holder.stay_alive()


def silent(_rig: Rig, _holder: Peer) -> None:
    """It sleeps: its machine takes what comes, and nobody answers."""


def half_open(rig: Rig, holder: Peer) -> None:
    """It went without a word, in the middle of long reads: its window is shut, no ping can be sent."""
    for number in range(100):
        holder.protocol.command(cdb(READ_16, number, 512 * 1024 // BLOCK), read=512 * 1024)
    holder.flush()
    connection = rig.service._lobby.all()[0]
    eventually(lambda: connection._commands._output.is_stuck)


def silent_mid_write(rig: Rig, holder: Peer) -> None:
    """A write is under way to a member that does not get on, and more are queued behind it."""
    rig.gate.close()
    for number in range(4):
        holder.write(number, fua=number > 0)
    assert rig.gate.began.wait(10)


def alive_mid_write(rig: Rig, holder: Peer) -> None:
    rig.gate.close()
    holder.write(fua=True)
    assert rig.gate.began.wait(10)
    holder.stay_alive()


def half_open_mid_write(rig: Rig, holder: Peer) -> None:
    """The data of a write stop in the middle of a PDU."""
    holder.protocol.command(cdb(0x8A, 0, HELD // BLOCK), write=b"h" * HELD, in_command=HELD)
    liveness = rig.service._lobby.all()[0]._liveness
    before = liveness._count
    holder.sock.sendall(holder.protocol.take_output()[: HELD // 2])
    eventually(lambda: liveness._count > before)  # what is read after the ping would be a sign of life


def gone(_rig: Rig, holder: Peer) -> None:
    holder.close()


def was_reset(_rig: Rig, holder: Peer) -> None:
    holder.reset()


def gone_mid_write(rig: Rig, holder: Peer) -> None:
    silent_mid_write(rig, holder)
    holder.reset()


def logged_out(_rig: Rig, holder: Peer) -> None:
    holder.protocol.logout()
    holder.until(lambda: holder.answers(LogoutResponse))


def logging_out_mid_write(rig: Rig, holder: Peer) -> None:
    """The answer to the logout waits for the write, and so does everybody else."""
    rig.gate.close()
    holder.write(fua=True)
    assert rig.gate.began.wait(10)
    holder.protocol.logout()
    holder.flush()
    connection = rig.service._lobby.all()[0]
    eventually(connection.is_gone)


@dataclass(frozen=True)
class Case:
    """``reinstated`` and ``taken``: seconds until the same nexus, or another, is let in; None: never."""

    holder: Callable[[Rig, Peer], None]
    reinstated: float
    taken: float | None


CASES = [
    Case(alive, reinstated=0, taken=None),
    Case(alive_mid_write, reinstated=0, taken=None),
    Case(silent, reinstated=0, taken=SECONDS),
    Case(silent_mid_write, reinstated=0, taken=SECONDS),
    Case(half_open, reinstated=0, taken=SECONDS),
    Case(half_open_mid_write, reinstated=0, taken=SECONDS),
    Case(gone, reinstated=0, taken=0),
    Case(was_reset, reinstated=0, taken=0),
    Case(gone_mid_write, reinstated=0, taken=0),
    Case(logged_out, reinstated=0, taken=0),
    Case(logging_out_mid_write, reinstated=0, taken=0),
]
NEWCOMERS = {"same name and ISID": (MAC, ISID), "other ISID": (MAC, OTHER_ISID), "other name": (PC, ISID)}


@pytest.mark.parametrize("newcomer", NEWCOMERS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.holder.__name__)
def test_takeover(rig: Rig, case: Case, newcomer: str) -> None:
    name, isid = NEWCOMERS[newcomer]
    holder = rig.log_in()
    connection = rig.service._lobby.all()[0]
    case.holder(rig, holder)
    expected = case.reinstated if (name, isid) == (MAC, ISID) else case.taken
    attempt = rig.attempt(name, isid)
    if expected is None:
        attempt.join()
        assert attempt.status is TURNED_AWAY
        assert rig.sessions() == [MAC]
        assert not holder.ended.is_set()
        return
    if expected:
        rig.timer.await_sleepers()
        rig.timer.advance(expected - 1)
        assert attempt.status is None
        rig.pass_time_until(lambda: attempt.status is not None or connection.is_gone())
    if rig.gate.closed:  # it waits for the slow member, however long that takes
        rig.timer.await_sleepers()
        rig.timer.advance(1000)
        assert attempt.status is None
        assert rig.gate.passed == 0
        rig.gate.open()
    attempt.join()
    assert attempt.status is SUCCESS
    assert not connection.in_flight._running, "a command of the old session may still reach a member"
    assert rig.gate.passed == rig.gate.arrived
    assert rig.sessions() == [name]


@pytest.mark.parametrize("fua", [False, True], ids=["write in the reader", "write in the pool"])
def test_no_write_of_the_old_session_lands_after_the_first_of_the_new_one(rig: Rig, *, fua: bool) -> None:
    """The old session's write waits in a slow member; what the new one writes must be what stays."""
    old = rig.log_in()
    rig.gate.close()
    old.write(fill=b"o", fua=fua)
    assert rig.gate.began.wait(10)
    attempt = rig.attempt(MAC)
    rig.timer.await_sleepers()
    assert attempt.status is None
    rig.gate.open()
    attempt.join()
    assert attempt.status is SUCCESS
    attempt.execute(bytes(16))
    outcome = attempt.wait(attempt.write(fill=b"n"))
    assert outcome.status == 0
    assert attempt.read() == b"n" * HELD
    start = member_layout(rig.array.media[0].size).data_offset
    stored = [bytes(disk.read(start, HELD)) for disk in rig.array.disks]
    assert stored == [b"n" * HELD] * 2, "on both members"


def test_commands_that_wait_for_a_thread_never_begin(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one thread for the medium, all but the first write wait in the pool's queue."""
    monkeypatch.setattr(rig.service._pool, "_most", 1)
    holder = rig.log_in()
    rig.gate.close()
    for number in range(20):
        holder.write(number * 8, fua=True)
    connection = rig.service._lobby.all()[0]
    eventually(lambda: len(connection.in_flight._running) == 20 and rig.gate.arrived == 1)
    attempt = rig.attempt(MAC)
    rig.timer.await_sleepers()
    rig.gate.open()
    attempt.join()
    assert attempt.status is SUCCESS
    assert rig.gate.passed == rig.gate.arrived == 1, "what waited for a thread reached a member"


def test_reads_that_wait_for_room_in_the_output_never_begin(rig: Rig) -> None:
    holder = rig.log_in()
    half_open(rig, holder)
    connection = rig.service._lobby.all()[0]
    eventually(lambda: connection._commands._data_in._waiting)
    again = rig.log_in()
    assert not connection.in_flight._running
    assert again.read() == bytes(HELD)


def test_a_logout_is_answered_when_no_command_is_left(rig: Rig) -> None:
    """RFC 7143 section 11.15: the answer says that the session's cleanup is done."""
    holder = rig.log_in()
    rig.gate.close()
    holder.protocol.command(cdb(0x8A, 0, HELD // BLOCK, fua=True), write=b"w" * HELD, in_command=HELD)
    holder.flush()
    assert rig.gate.began.wait(10)
    connection = rig.service._lobby.all()[0]
    holder.protocol.logout()
    holder.flush()
    eventually(lambda: connection.is_gone() and connection._commands._output.size)
    holder.sock.settimeout(0.1)
    with pytest.raises(TimeoutError):
        holder.pump()
    holder.sock.settimeout(20)
    rig.gate.open()
    holder.until(lambda: holder.answers(LogoutResponse))


def test_a_holder_that_wakes_up_in_time_keeps_its_place(rig: Rig) -> None:
    holder = rig.log_in()
    attempt = rig.attempt(PC)
    rig.timer.await_sleepers()
    rig.timer.advance(SECONDS - 1)
    holder.pump()  # takes the ping and answers it
    attempt.join()
    assert attempt.status is TURNED_AWAY
    assert rig.sessions() == [MAC]


def test_any_word_of_the_holder_counts(rig: Rig) -> None:
    holder = rig.log_in()
    attempt = rig.attempt(PC)
    rig.timer.await_sleepers()
    holder.protocol.nop()
    holder.flush()
    attempt.join()
    assert attempt.status is TURNED_AWAY


def test_an_evicted_holder_is_told_if_that_needs_no_waiting(rig: Rig) -> None:
    holder = rig.log_in()
    rig.log_in()
    assert holder.is_closed()
    assert [message.event for message in holder.answers(AsyncMessage)] == [AsyncEvent.CONNECTION_DROPPED]


def test_a_newcomer_that_waits_blocks_nobody(rig: Rig) -> None:
    """Status, a stranger that is turned away by itself, and the holder's own return."""
    rig.log_in()
    waiting = rig.attempt(PC)
    rig.timer.await_sleepers()
    assert rig.sessions() == [MAC]
    stranger = rig.connect("iqn.2026-11.example:stranger")
    stranger.close()
    again = rig.log_in()
    again.stay_alive()
    rig.timer.advance(1)
    waiting.join()
    assert waiting.status is TURNED_AWAY
    assert rig.sessions() == [MAC]


def test_a_refused_reinstatement_does_not_touch_the_state_of_the_living_session(rig: Rig) -> None:
    """The nexus of an abandoned attempt is that of the session: it is not lost when the attempt ends."""
    lost: list[Nexus] = []
    rig.target.nexus_lost = lost.append  # type: ignore[method-assign, assignment]
    rig.gate.close()
    holder = rig.log_in()
    holder.write(fua=True)
    assert rig.gate.began.wait(10)
    abandoned, again = rig.attempt(MAC), None
    rig.timer.await_sleepers()
    abandoned.close()
    rig.timer.advance(2)
    abandoned.join()
    assert lost == []
    rig.gate.open()
    again = rig.log_in()
    assert [nexus.initiator_name for nexus in lost] == [MAC], "once, for the session that was evicted"
    assert again.read(0)[:1] == b"w"


def test_the_volume_closes_with_all_sessions_side_by_side(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twinlock.server.service.LOGOUT_SECONDS", 0)
    holder = rig.log_in()
    rig.service.close()
    assert holder.is_closed()
    assert [message.event for message in holder.answers(AsyncMessage)] == [AsyncEvent.LOGOUT_REQUESTED]
    rig.service.close = lambda: None  # type: ignore[method-assign]


def test_the_target_is_the_rigs(rig: Rig) -> None:
    assert rig.service.status().target == TARGET
