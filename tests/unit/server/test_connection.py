"""One connection over a real socket: whatever a peer or a disk does, the others and the pings go on."""

import contextlib
import errno
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.server.served import LUN_0, Peer, Served, eventually, settled
from twinlock.block.device import BlockDevice
from twinlock.block.faulty import FaultyDevice
from twinlock.block.memory import MemoryDevice
from twinlock.iscsi.task import Task
from twinlock.scsi.operations import Read, Status
from twinlock.server import commands, data_in
from twinlock.server.data_in import DATA_IN_MEMORY, UNSENT_OUTPUT
from twinlock.server.output import CHUNK
from twinlock.server.pace import SLOW_WRITE
from twinlock.server.sockets import UNSENT
from twinlock.units import KIB, MIB
from twinlock.wire.iscsi_codes import TaskAttribute, TaskManagementResponse
from twinlock.wire.iscsi_codes import TaskManagementFunction as Function
from twinlock.wire.iscsi_responses import LogoutResponse, NopIn, TaskManagementAnswer

BLOCK = 4096
SIZE = 256 * MIB
BIG = 4 * MIB // BLOCK
"""Blocks of the longest read."""
WINDOW = 128
"""Commands of one session."""
SMALL = 64 * KIB
"""Bytes of a receive buffer that is soon full."""

Serve = Callable[..., Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves a device; all that was served is closed at the end."""
    served: list[Served] = []

    def make(device: BlockDevice, *, shared: bool = False) -> Served:
        served.append(Served(device, shared=shared))
        return served[-1]

    yield make
    for each in served:
        each.close()


class Disk:
    """Memory that counts what is read, and operations that can be held; the page cache is always cold."""

    def __init__(self, *, cached: bool = False) -> None:
        self.started: list[tuple[str, int, int]] = []
        self._held: set[str] = set()
        self._released = threading.Event()
        memory = MemoryDevice(SIZE, BLOCK)
        self.memory = memory
        self.device: BlockDevice = (
            Cached(memory, self._hook) if cached else FaultyDevice(memory, hook=self._hook)
        )

    def hold(self, *kinds: str) -> None:
        """Operations of these kinds on the first half of the disk take until :meth:`release`."""
        self._held.update(kinds)

    def release(self) -> None:
        self._released.set()

    def count(self, kind: str) -> int:
        return sum(started[0] == kind for started in self.started)

    @property
    def bytes_read(self) -> int:
        return sum(length for kind, _, length in self.started if kind == "r")

    def _hook(self, kind: str, offset: int, length: int) -> None:
        self.started.append((kind, offset, length))
        if kind in self._held and offset < SIZE // 2:
            self._released.wait()


class Cached(FaultyDevice):
    """As a device whose data are all in the page cache."""

    def __init__(self, lower: BlockDevice, hook: Callable[[str, int, int], None]) -> None:
        super().__init__(lower, hook=hook)

    def read_nowait(self, offset: int, length: int) -> object:  # type: ignore[override]
        return self.read(offset, length)


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    yield disk
    disk.release()


@pytest.fixture(params=[False, True], ids=["cold", "cached"])
def any_disk(request: pytest.FixtureRequest) -> Iterator[Disk]:
    disk = Disk(cached=request.param)
    yield disk
    disk.release()


def ask_for_much(peer: Peer, reads: int = 32, blocks: int = BIG) -> list[int]:
    """Ask for more than sockets hold, and do not read it."""
    tags = [peer.read(number * blocks % (SIZE // BLOCK - blocks), blocks) for number in range(reads)]
    eventually(lambda: peer.is_stuck)
    return tags


# -- the peer does not read --------------------------------------------------------------------------


def test_a_ping_is_answered_ahead_of_queued_data(serve: Serve, any_disk: Disk) -> None:
    peer = serve(any_disk.device).peer(receive_buffer=SMALL)
    tags = ask_for_much(peer)
    settled(lambda: peer.unsent)
    ping = peer.nop(b"are you there?")
    eventually(lambda: peer.target.answers_waiting == 1)
    pong = peer.answer(ping)
    assert isinstance(pong.header, NopIn)
    assert pong.data == b"are you there?"
    assert peer.bytes_before(ping) < 2 * (UNSENT + CHUNK), "what the kernel had, and a chunk"
    for tag in tags:
        outcome = peer.wait(tag)
        assert outcome.status == 0
        assert len(outcome.data) == BIG * BLOCK


def test_every_read_comes_back_right_whatever_waited(serve: Serve, any_disk: Disk) -> None:
    for number in range(16):
        any_disk.memory.write(number * MIB, bytes([number + 1]) * MIB)
    peer = serve(any_disk.device).peer(receive_buffer=SMALL)
    tags = [peer.read(number * MIB // BLOCK, MIB // BLOCK) for number in range(16)]
    for number, tag in enumerate(tags):
        same = bytes(peer.wait(tag).data) == bytes([number + 1]) * MIB
        assert same


def test_writes_and_task_management_go_on_while_the_peer_does_not_read(serve: Serve, any_disk: Disk) -> None:
    peer = serve(any_disk.device).peer(receive_buffer=SMALL)
    ask_for_much(peer)
    peer.write(SIZE // BLOCK - 1, b"x" * BLOCK)
    eventually(lambda: ("w", SIZE - BLOCK, BLOCK) in any_disk.started)
    answer = peer.answer(peer.manage(Function.ABORT_TASK_SET, lun=LUN_0))
    assert isinstance(answer.header, TaskManagementAnswer)
    assert answer.header.response == TaskManagementResponse.FUNCTION_COMPLETE


def test_what_waits_to_be_sent_is_bounded(serve: Serve, any_disk: Disk) -> None:
    peer = serve(any_disk.device).peer(receive_buffer=SMALL)
    tags = ask_for_much(peer, reads=60)
    settled(lambda: any_disk.bytes_read)
    assert peer.unsent <= DATA_IN_MEMORY + CHUNK
    assert any_disk.bytes_read <= DATA_IN_MEMORY + 4 * MIB, "60 reads of 4 MiB were asked for"
    assert peer.waiting > 30
    for tag in tags:
        assert peer.wait(tag).status == 0
    assert any_disk.bytes_read == 60 * BIG * BLOCK
    assert peer.unsent == 0


def test_reads_that_are_cached_wait_at_the_lower_bound(serve: Serve) -> None:
    disk = Disk(cached=True)
    peer = serve(disk.device).peer(receive_buffer=SMALL)
    ask_for_much(peer, reads=60)
    settled(lambda: disk.bytes_read)
    assert peer.unsent <= UNSENT_OUTPUT + BIG * BLOCK + CHUNK
    assert disk.bytes_read <= UNSENT_OUTPUT + BIG * BLOCK + 8 * MIB, "and what sockets hold"


def test_reads_that_wait_occupy_no_thread(serve: Serve, any_disk: Disk) -> None:
    served = serve(any_disk.device)
    peer = served.peer(receive_buffer=SMALL)
    ask_for_much(peer, reads=100)
    settled(lambda: any_disk.bytes_read)
    assert peer.waiting > 60
    assert served.pool.threads <= DATA_IN_MEMORY // (BIG * BLOCK) + 8


def test_a_read_above_the_bound_is_served_by_itself(
    serve: Serve, any_disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_in, "UNSENT_OUTPUT", 64 * KIB)
    monkeypatch.setattr(data_in, "DATA_IN_MEMORY", 128 * KIB)
    peer = serve(any_disk.device).peer()
    for tag in [peer.read(number * BIG, BIG) for number in range(8)]:
        assert len(peer.wait(tag).data) == BIG * BLOCK


def test_small_reads_behind_a_full_queue_come_in_their_order(serve: Serve, any_disk: Disk) -> None:
    peer = serve(any_disk.device).peer(receive_buffer=SMALL)
    tags = ask_for_much(peer, reads=40)
    tags += [peer.read(number, 1) for number in range(40)]
    settled(lambda: any_disk.bytes_read)
    waiting = [offset for kind, offset, length in any_disk.started if kind == "r" and length == BLOCK]
    assert waiting == [], "none overtakes those that wait"
    for tag in tags:
        assert peer.wait(tag).status == 0


def ping(peer: Peer, times: int, data: bytes = b"") -> None:
    for _ in range(times):
        peer.nop(data)


def test_a_peer_that_only_asks_is_cut_off(serve: Serve, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "MAX_ANSWERS", 50)
    served = serve(disk.device, shared=True)
    other = served.peer("iqn.2026-11.example:other")
    peer = served.peer(receive_buffer=SMALL)
    ask_for_much(peer)
    with pytest.raises(OSError, match=r"reset|pipe"):
        ping(peer, 100_000)
    assert peer.connection.wait(10)
    other.await_pong()


def test_long_pings_that_nobody_reads_the_answers_of_are_bounded_too(
    serve: Serve, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "MAX_OUTPUT", 16 * MIB)
    peer = serve(disk.device).peer(receive_buffer=SMALL)
    peer.sock.settimeout(30)
    with pytest.raises(OSError, match=r"reset|pipe"):
        ping(peer, 300, bytes(256 * KIB))
    assert peer.connection.wait(10)


# -- what waits can be aborted -------------------------------------------------------------------------


def fill_with_waiting(peer: Peer, disk: Disk, last: int) -> int:
    """Ask for much, and at the end for block ``last``, which has to wait; its tag."""
    ask_for_much(peer, reads=60)
    tag = peer.read(last, 1)
    settled(lambda: disk.bytes_read)
    assert peer.waiting > 1
    return tag


def test_an_aborted_read_that_waits_ends_in_silence_at_once(serve: Serve, any_disk: Disk) -> None:
    peer = serve(any_disk.device).peer(receive_buffer=SMALL)
    last = SIZE // BLOCK - 1
    tag = fill_with_waiting(peer, any_disk, last)
    waiting = peer.waiting
    abort = peer.manage(Function.ABORT_TASK, referenced_task_tag=tag, lun=LUN_0)
    eventually(lambda: peer.waiting == waiting - 1)
    answer = peer.answer(abort)
    assert isinstance(answer.header, TaskManagementAnswer)
    assert answer.header.response == TaskManagementResponse.FUNCTION_COMPLETE
    assert peer.bytes_before(abort) < SIZE // 4, "before the data of the others"
    others = [outcome for other, outcome in peer.initiator.outcomes.items() if other != tag]
    peer.read_until(lambda: all(outcome.status is not None for outcome in others))
    peer.await_pong()
    assert peer.initiator.outcomes[tag].status is None
    assert ("r", last * BLOCK, BLOCK) not in any_disk.started


@pytest.mark.parametrize("function", [Function.ABORT_TASK_SET, Function.LOGICAL_UNIT_RESET])
def test_a_reset_takes_all_that_waits(serve: Serve, any_disk: Disk, function: Function) -> None:
    peer = serve(any_disk.device).peer(receive_buffer=SMALL)
    fill_with_waiting(peer, any_disk, SIZE // BLOCK - 1)
    before = any_disk.bytes_read
    answer = peer.answer(peer.manage(function, lun=LUN_0))
    assert isinstance(answer.header, TaskManagementAnswer)
    assert answer.header.response == TaskManagementResponse.FUNCTION_COMPLETE
    assert peer.waiting == 0
    assert any_disk.bytes_read == before
    peer.wait(peer.command(bytes(6)))  # the unit attention that a reset leaves
    assert len(peer.wait(peer.read(0, 1)).data) == BLOCK


def test_others_can_abort_what_waits(serve: Serve, any_disk: Disk) -> None:
    peer = serve(any_disk.device).peer(receive_buffer=SMALL)
    fill_with_waiting(peer, any_disk, SIZE // BLOCK - 1)
    before = any_disk.bytes_read
    peer.connection.abort_tasks(lambda _task: True)
    assert peer.waiting == 0
    ended = threading.Event()
    peer.connection.in_flight.when_ended(lambda _task: True, ended.set)
    assert ended.wait(10)
    assert any_disk.bytes_read == before
    peer.await_pong()


def test_an_abort_that_comes_when_a_read_is_about_to_wait_is_not_missed(
    serve: Serve, any_disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = serve(any_disk.device).peer(receive_buffer=SMALL)
    fill_with_waiting(peer, any_disk, SIZE // BLOCK - 1)
    aborted = threading.Event()

    def no_room(_operation: Read, _unsent: int) -> bool:
        peer.connection.abort_tasks(lambda _task: True)
        aborted.set()
        return False

    with monkeypatch.context() as patch:
        patch.setattr(peer.connection._commands._data_in, "has_room", no_room)
        peer.read(0, 1)
        assert aborted.wait(10)
        settled(lambda: peer.waiting)
    assert peer.waiting == 0
    ended = threading.Event()
    peer.connection.in_flight.when_ended(lambda _task: True, ended.set)
    assert ended.wait(10)


def test_eviction_waits_for_no_socket(serve: Serve, any_disk: Disk) -> None:
    peer = serve(any_disk.device).peer(receive_buffer=SMALL)
    fill_with_waiting(peer, any_disk, SIZE // BLOCK - 1)
    evicting = threading.Thread(target=peer.connection.evict)
    evicting.start()
    evicting.join(10)
    assert not evicting.is_alive()
    after = any_disk.bytes_read
    settled(lambda: any_disk.bytes_read)
    assert any_disk.bytes_read == after
    peer.thread.join(10)
    assert not peer.thread.is_alive()
    assert not [thread for thread in threading.enumerate() if thread.name.endswith("writer")]


def test_a_read_that_the_pool_has_is_in_flight_whatever_becomes_of_the_connection(
    serve: Serve, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = serve(disk.device).peer().connection._commands
    task = Task(1, bytes(8), bytes(16), TaskAttribute.SIMPLE, False, True, False, BLOCK)
    commands.in_flight.begin(task)

    def cut() -> None:
        raise OSError("the connection is gone")

    with monkeypatch.context() as patched:
        patched.setattr(commands, "_do_later", lambda *_: None)  # the pool takes it
        patched.setattr(commands, "transmit", cut)
        with pytest.raises(OSError, match="gone"):
            commands._begin_waiting(task, Read(0, BLOCK))
    assert task in commands.in_flight._running
    commands.in_flight.end(task)


@pytest.mark.parametrize("kind", ["r", "w", "f"])
def test_eviction_waits_until_no_command_can_reach_a_member(serve: Serve, disk: Disk, kind: str) -> None:
    disk.hold(kind)
    peer = serve(disk.device).peer()
    {"r": lambda: peer.read(0, 1), "w": lambda: peer.write(0, bytes(BLOCK)), "f": peer.flush}[kind]()
    eventually(lambda: disk.count(kind) == 1)
    evicting = threading.Thread(target=peer.connection.evict)
    evicting.start()
    evicting.join(0.2)
    assert evicting.is_alive()
    disk.release()
    evicting.join(10)
    assert not evicting.is_alive()


# -- the disk is slow ----------------------------------------------------------------------------------


def quick_ones_are_served(peer: Peer) -> None:
    """A ping, and commands for the part of the disk that is not slow."""
    peer.await_pong()
    assert len(peer.wait(peer.read(SIZE // BLOCK - 1, 1)).data) == BLOCK


def test_slow_reads_hold_up_no_other_command(serve: Serve, disk: Disk) -> None:
    disk.hold("r")
    served = serve(disk.device, shared=True)
    peer = served.peer()
    slow = [peer.read(number * 128, 128) for number in range(WINDOW - 2)]
    eventually(lambda: disk.count("r") == WINDOW - 2)
    quick_ones_are_served(peer)
    quick_ones_are_served(served.peer("iqn.2026-11.example:other"))
    disk.release()
    for tag in slow:
        assert peer.wait(tag).status == 0


def test_full_windows_of_several_sessions_leave_room_for_others(serve: Serve, disk: Disk) -> None:
    disk.hold("r")
    served = serve(disk.device, shared=True)
    peers = [served.peer(f"iqn.2026-11.example:{number}") for number in range(4)]
    slow = [(peer, peer.read(number, 1)) for peer in peers for number in range(WINDOW)]
    eventually(lambda: disk.count("r") == len(slow))
    quick_ones_are_served(served.peer("iqn.2026-11.example:other"))
    disk.release()
    for peer, tag in slow:
        assert peer.wait(tag).status == 0


def test_slow_flushes_hold_up_neither_reads_nor_writes(serve: Serve, disk: Disk) -> None:
    disk.hold("f")
    peer = serve(disk.device).peer()
    slow = [peer.flush() for _ in range(20)]
    eventually(lambda: disk.count("f") == 20)
    quick_ones_are_served(peer)
    assert peer.wait(peer.write(0, b"x" * BLOCK)).status == 0
    disk.release()
    for tag in slow:
        assert peer.wait(tag).status == 0


def test_a_write_that_hangs_behind_a_flush_holds_up_nobody(serve: Serve, disk: Disk) -> None:
    """As file systems do whose journal is being written."""
    disk.hold("f", "w")
    peer = serve(disk.device).peer()
    slow = [peer.flush()]
    eventually(lambda: disk.count("f") == 1)
    slow += [peer.write(number, bytes(BLOCK)) for number in range(20)]
    eventually(lambda: disk.count("w") == 20)
    quick_ones_are_served(peer)
    disk.release()
    for tag in slow:
        assert peer.wait(tag).status == 0


def test_slow_writes_of_one_session_do_not_hang_the_next(serve: Serve, disk: Disk) -> None:
    """The first may hold its own reader: nothing told that the disk is slow.  Others know by then."""
    disk.hold("w")
    served = serve(disk.device, shared=True)
    first, second = served.peer("iqn.2026-11.example:first"), served.peer("iqn.2026-11.example:second")
    slow = [(first, first.write(0, bytes(BLOCK)))]
    eventually(lambda: disk.count("w") == 1)
    time.sleep(2 * SLOW_WRITE)
    slow += [(second, second.write(number, bytes(BLOCK))) for number in range(1, 20)]
    eventually(lambda: disk.count("w") == 20)
    quick_ones_are_served(second)
    disk.release()
    for peer, tag in slow:
        assert peer.wait(tag).status == 0


def test_what_waited_for_a_slow_command_begins_when_that_ends(serve: Serve, disk: Disk) -> None:
    """Nothing comes from the initiator then, whose thread could do it."""
    disk.hold("r")
    peer = serve(disk.device).peer()
    slow = peer.read(0, 1)
    write = bytes([0x8A, 0]) + bytes(8) + (1).to_bytes(4, "big") + bytes(2)
    ordered = [
        peer.initiator.command(write, write=b"x" * BLOCK, attribute=TaskAttribute.ORDERED) for _ in range(20)
    ]
    peer.send()
    quick = peer.read(SIZE // BLOCK - 1, 1)
    peer.await_pong()
    assert disk.count("w") == 0
    disk.release()
    for tag in (slow, *ordered, quick):
        assert peer.wait(tag).status == 0
    assert disk.count("w") == 20


# -- the end -------------------------------------------------------------------------------------------


def test_the_answer_to_a_logout_comes_last_however_slowly_the_peer_reads(serve: Serve) -> None:
    peer = serve(Disk(cached=True).device).peer(receive_buffer=SMALL)
    ask_for_much(peer)
    peer.initiator.logout()
    peer.send()
    eventually(lambda: peer.connection._ended)
    with pytest.raises(EOFError):
        peer.read_until(lambda: False)
    assert isinstance(peer.initiator.replies[-1].header, LogoutResponse)
    assert peer.connection.wait(10)


def test_a_peer_that_does_not_read_the_end_is_not_waited_for_long(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "LAST_WORDS_SECONDS", 0.1)
    peer = serve(Disk(cached=True).device).peer(receive_buffer=SMALL)
    ask_for_much(peer)
    peer.initiator.logout()
    peer.send()
    assert peer.connection.wait(10)


# -- the machine has had enough ------------------------------------------------------------------------


def test_without_a_thread_for_what_is_unsent_only_this_connection_ends(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    served = serve(Disk(cached=True).device, shared=True)
    other = served.peer("iqn.2026-11.example:other")
    peer = served.peer(receive_buffer=SMALL)

    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with contextlib.suppress(ConnectionError):  # it may be cut before all is asked for
            for number in range(16):
                peer.read(number * BIG, BIG)
        assert peer.connection.wait(10)
        quick_ones_are_served(other)
    assert "can't start new thread" in caplog.text
    assert "bug" not in caplog.text


def test_without_any_thread_commands_find_the_target_busy(
    serve: Serve, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = serve(disk.device).peer()

    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        assert peer.wait(peer.read(0, 1)).status == Status.BUSY
        assert peer.wait(peer.write(0, b"x" * BLOCK)).status == Status.GOOD
        peer.await_pong()
    assert len(peer.wait(peer.read(0, 1)).data) == BLOCK


class Greedy(FaultyDevice):
    """No memory is left for long reads."""

    def read(self, offset: int, length: int) -> bytes:
        if length > BLOCK:
            raise MemoryError
        return bytes(super().read(offset, length))


class GreedyCache(Greedy):
    def read_nowait(self, offset: int, length: int) -> bytes:
        return self.read(offset, length)


@pytest.mark.parametrize("kind", [Greedy, GreedyCache])
def test_without_memory_only_this_connection_ends(serve: Serve, kind: type[Greedy]) -> None:
    served = serve(kind(MemoryDevice(SIZE, BLOCK)), shared=True)
    other, peer = served.peer("iqn.2026-11.example:other"), served.peer()
    peer.read(0, 16)
    assert peer.connection.wait(10)
    quick_ones_are_served(other)


def test_a_connection_needs_no_further_descriptor(serve: Serve, any_disk: Disk) -> None:
    """So one that has begun goes on when the process has no more of them."""
    peer = serve(any_disk.device).peer(receive_buffer=SMALL)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = max(map(int, (entry.name for entry in Path("/proc/self/fd").iterdir())))
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            socket.socket()
        assert open_now >= 3
        tags = ask_for_much(peer)
        peer.await_pong()
        for tag in tags:
            assert peer.wait(tag).status == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
