"""Reservations that are kept on a disk which hangs: only who asked for them waits."""

from collections.abc import Iterator

import pytest

from tests.unit.scsi.reservations.support import (
    APTPL,
    PREEMPT_AND_ABORT,
    REGISTER,
    RESERVE,
    TEST_UNIT_READY,
    WE,
    out_cdb,
)
from tests.unit.scsi.reservations.test_reservations import SlowStore
from tests.unit.server.served import Peer, Served, eventually
from twinlock.block.memory import MemoryDevice
from twinlock.units import MIB
from twinlock.wire.iscsi_codes import TaskManagementFunction, TaskManagementResponse
from twinlock.wire.iscsi_responses import TaskManagementAnswer

PC, MAC = "iqn.2026-11.example:pc", "iqn.2026-11.example:mac"


@pytest.fixture
def store() -> SlowStore:
    return SlowStore()


@pytest.fixture
def served(store: SlowStore) -> Iterator[Served]:
    made = Served(MemoryDevice(4 * MIB), shared=True, store=store)
    yield made
    store.go_on.set()
    made.close()


def change(peer: Peer, action: int, key: int = 0, new_key: int = 0, kind: int = 0, flags: int = 0) -> int:
    """Send PERSISTENT RESERVE OUT."""
    data = key.to_bytes(8, "big") + new_key.to_bytes(8, "big") + bytes([0, 0, 0, 0, flags, 0, 0, 0])
    return peer.command(out_cdb(action, len(data), kind), write=data)


def test_the_session_that_asks_and_all_others_go_on(served: Served, store: SlowStore) -> None:
    peer, leaving = served.peer(PC), served.peer(MAC)
    tag = change(peer, REGISTER, new_key=1, flags=APTPL)
    assert store.saving.wait(10)
    peer.await_pong()
    assert peer.initiator.outcomes[tag].status is None
    leaving.sock.close()
    eventually(lambda: len(served.sessions) == 1)
    served.peer(MAC).await_pong()
    store.go_on.set()
    assert peer.wait(tag).status == 0


def test_a_reset_waits_for_what_is_being_kept_and_for_nothing_else(served: Served, store: SlowStore) -> None:
    peer, other = served.peer(PC), served.peer(MAC)
    change(peer, REGISTER, new_key=1, flags=APTPL)
    assert store.saving.wait(10)
    reset = other.manage(TaskManagementFunction.LOGICAL_UNIT_RESET)
    for _ in range(2):
        other.await_pong()
    assert not [each for each in other.initiator.replies if isinstance(each.header, TaskManagementAnswer)]
    store.go_on.set()
    answer = other.answer(reset).header
    assert isinstance(answer, TaskManagementAnswer)
    assert answer.response == TaskManagementResponse.FUNCTION_COMPLETE


def test_preempt_and_abort_reaches_the_tasks_of_others(served: Served, store: SlowStore) -> None:
    store.go_on.set()
    one, other = served.peer(PC), served.peer(MAC)
    for peer, key in ((one, 1), (other, 2)):
        assert peer.wait(change(peer, REGISTER, new_key=key, flags=APTPL)).status == 0
    assert other.wait(change(other, RESERVE, key=2, kind=WE)).status == 0
    assert one.wait(change(one, PREEMPT_AND_ABORT, key=1, new_key=2, kind=WE)).status == 0
    told = other.wait(other.command(TEST_UNIT_READY))
    assert told.sense[2] & 0xF == 6
    assert not served.sessions.all()[0].in_flight._running
