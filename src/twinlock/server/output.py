"""The sending side of a connection: whatever happens at the other end, nobody waits for it.

What the socket takes at once is sent by the thread that made it.  When the socket is
full the rest stays where it is, for the connection's writer, which waits until there is
room.  Only a bounded piece is taken from the protocol object at a time: until then a later
answer can still overtake the data of earlier commands.
"""

import socket
import threading
from collections.abc import Callable
from typing import Protocol

from typing_extensions import Buffer

from twinlock.units import KIB

CHUNK = 256 * KIB
"""Bytes taken from the protocol object at a time, or one PDU if that is more."""
SEND_PIECES = 512
"""Buffers of one ``sendmsg`` (Linux takes 1024)."""


class Source(Protocol):
    """Where output comes from: :class:`twinlock.iscsi.connection.TargetConnection`."""

    @property
    def output_size(self) -> int:
        """Bytes that wait to be taken."""

    def take_output(self, maximum: int | None = None, /) -> list[Buffer]:
        """Whole PDUs of about ``maximum`` bytes, as buffers of bytes; what was taken must be sent."""


class Output:
    """What a connection has to send.  Calls must not overlap."""

    def __init__(self, sock: socket.socket, source: Source) -> None:
        """``sock`` must be in blocking mode (see :mod:`twinlock.server.sockets`)."""
        self._sock = sock
        self._source = source
        self._chunk: list[memoryview] = []
        self._chunk_size = 0
        self.is_stuck = False
        """The socket is full: until :meth:`resume` nothing is sent."""
        self.is_held = False
        """Nothing is to be sent for now, full or not."""

    @property
    def size(self) -> int:
        """Bytes that were not sent yet."""
        return self._chunk_size + self._source.output_size

    def send(self) -> None:
        """Send what the socket takes now; raises OSError if the connection has ended."""
        if not self.is_stuck:
            self.resume()

    def resume(self) -> None:
        """As :meth:`send`, now that the socket may have room again."""
        self.is_stuck = False
        if self.is_held:
            return
        try:
            while self._chunk_size or self._source.output_size:
                if not self._chunk_size:
                    self._take()
                self._advance(self._sock.sendmsg(self._chunk[:SEND_PIECES], (), socket.MSG_DONTWAIT))
        except BlockingIOError:
            self.is_stuck = True

    def _take(self) -> None:
        """Go on to the next chunk."""
        self._chunk = [memoryview(buffer) for buffer in self._source.take_output(CHUNK)]
        self._chunk_size = sum(map(len, self._chunk))

    def _advance(self, sent: int) -> None:
        self._chunk_size -= sent
        self._chunk = _rest(self._chunk, sent) if self._chunk_size else []


def _rest(buffers: list[memoryview], sent: int) -> list[memoryview]:
    """What is left of ``buffers`` after their first ``sent`` bytes."""
    for index, buffer in enumerate(buffers):
        size = len(buffer)
        if sent < size:
            return [buffer[sent:], *buffers[index + 1 :]]
        sent -= size
    return []


class Writer:
    """The thread that goes on where others stopped; it is started when there is something for it to do."""

    def __init__(
        self, lock: threading.RLock, has_work: Callable[[], bool], work: Callable[[], None], name: str
    ) -> None:
        """``has_work`` is called under ``lock``, ``work`` without it, for as long as ``has_work`` is true."""
        self._changed = threading.Condition(lock)
        self._has_work = has_work
        self._work = work
        self._name = name
        self._thread: threading.Thread | None = None
        self._resting = False
        self._ended = False

    def wake(self) -> None:
        """There is work (the caller holds the lock); raises RuntimeError if there can be no thread for it."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            thread.start()
            self._thread = thread
        elif self._resting:
            self._changed.notify()

    def end(self) -> None:
        """Return once no work is being done any more, nor will be."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while self._await_work():
            self._work()

    def _await_work(self) -> bool:
        with self._changed:
            while not self._ended and not self._has_work():
                self._resting = True
                self._changed.wait()
                self._resting = False
            return not self._ended
