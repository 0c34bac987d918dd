"""Output leaves at once, or waits without anybody who waits with it."""

import select
import socket
import threading
from collections.abc import Iterator

import pytest
from typing_extensions import Buffer

from tests.unit.server.links import tcp_pair
from twinlock.server.output import CHUNK, Output, Writer
from twinlock.server.sockets import set_up, wait_for


class Pdus:
    """A source of whole PDUs; ``ahead`` are those that go first."""

    def __init__(self, *pdus: bytes) -> None:
        self.ahead: list[bytes] = []
        self.pdus = list(pdus)
        self.maxima: list[int | None] = []

    @property
    def output_size(self) -> int:
        return sum(map(len, self.ahead + self.pdus))

    def take_output(self, maximum: int | None = None, /) -> list[Buffer]:
        self.maxima.append(maximum)
        taken: list[Buffer] = []
        size = 0
        while (queue := self.ahead or self.pdus) and (not taken or maximum is None or size < maximum):
            taken.append(queue.pop(0))
            size += len(memoryview(taken[-1]))
        return taken


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = tcp_pair(theirs_receive=4096)
    set_up(ours)
    theirs.settimeout(10)
    with ours, theirs:
        yield ours, theirs


def receive(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (piece := sock.recv(size - len(data))):
        data += piece
    return bytes(data)


def fill(output: Output, source: Pdus) -> list[bytes]:
    """Queue data until the socket is full; all that was queued."""
    queued = list[bytes]()
    while not output.is_stuck:
        data = bytes([len(queued) % 256]) * CHUNK
        source.pdus.append(data)
        queued.append(data)
        output.send()
    return queued


def test_what_fits_leaves_at_once(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    output = Output(ours, Pdus(b"header", b"data", bytes(0), b"end"))
    output.send()
    assert receive(theirs, 13) == b"headerdataend"
    assert output.size == 0
    assert not output.is_stuck


def test_more_pieces_than_one_call_takes(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    pieces = [bytes([number % 256]) * 3 for number in range(2000)]
    Output(ours, Pdus(*pieces)).send()
    assert receive(theirs, 6000) == b"".join(pieces)


def test_a_full_socket_makes_nobody_wait_and_loses_nothing(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    source = Pdus()
    output = Output(ours, source)
    queued = b"".join(fill(output, source))
    unsent = output.size
    assert 0 < unsent <= 2 * CHUNK
    output.send()
    assert output.size == unsent, "one that is full is not tried again before it has room"
    received = bytearray()
    while output.is_stuck or output.size:
        received += theirs.recv(65536)
        if wait_for(ours, select.POLLOUT, 0):
            output.resume()
    received += receive(theirs, len(queued) - len(received))
    same = bytes(received) == queued
    assert same


def test_what_is_queued_later_can_overtake_all_but_one_chunk(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    source = Pdus()
    output = Output(ours, source)
    before = len(fill(output, source))
    source.pdus += [bytes([255]) * CHUNK] * 20
    source.ahead.append(b"ping")
    received = bytearray()
    while b"ping" not in received:
        received += theirs.recv(65536)
        if wait_for(ours, select.POLLOUT, 0):
            output.resume()
    position = received.index(b"ping")
    assert position <= (before + 1) * CHUNK
    assert set(source.maxima) == {CHUNK}


def test_a_connection_that_ended_says_so(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = ends
    ours.shutdown(socket.SHUT_RDWR)
    with pytest.raises(OSError, match="pipe"):
        Output(ours, Pdus(b"data")).send()


class Work:
    """Something to do for a writer."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.left = 0
        self.done = threading.Semaphore(0)
        self.writer = Writer(self.lock, lambda: self.left > 0, self._work, "writer")

    def _work(self) -> None:
        with self.lock:
            self.left -= 1
        self.done.release()

    def give(self, amount: int) -> None:
        with self.lock:
            self.left += amount
            self.writer.wake()


def test_a_writer_works_as_long_as_there_is_something_to_do() -> None:
    work = Work()
    for _ in range(20):
        work.give(3)
        assert all(work.done.acquire(timeout=10) for _ in range(3))
    work.writer.end()
    work.give(1)
    assert not work.done.acquire(timeout=0.05), "after its end it does nothing"


def test_a_writer_has_no_thread_before_it_is_needed() -> None:
    before = threading.active_count()
    work = Work()
    assert threading.active_count() == before
    work.writer.end()


def test_a_writer_that_can_have_no_thread_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    work = Work()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError):
            work.give(1)
    work.give(1)
    assert work.done.acquire(timeout=10), "the next one may have more luck"
    work.writer.end()
