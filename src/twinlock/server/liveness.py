"""Whether the other end of a connection still lives."""

import select
import socket
import threading
import time


class Liveness:
    """Counts what is heard from a peer, for whoever waits for a sign of life."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._changed = threading.Condition()
        self._count = 0
        self._over = False

    def heard(self) -> None:
        """Something came."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def over(self) -> None:
        """Nothing will come any more."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def mark(self) -> int:
        """A point in time, for :meth:`heard_since`."""
        return self._count

    def heard_since(self, mark: int, until: float) -> bool:
        """True as soon as something was heard after ``mark``; False at ``until`` (monotonic), or at the end.

        Bytes that lie unread in the socket count: then it is our side that is slow.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._count != mark or self._over, max(0.0, until - time.monotonic())
            )
            return self._count != mark or (not self._over and self._has_unread())

    def is_gone(self) -> bool:
        """True if the peer has closed the connection, and everything it sent before was read."""
        return self._peek() == b""

    def _has_unread(self) -> bool:
        return bool(self._peek())

    def _peek(self) -> bytes | None:
        """The first unread byte; empty at the end, None if nothing has come."""
        if not _ready(self._sock, select.POLLIN):  # a socket with a time limit would wait here
            return None
        try:
            return self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        except OSError:
            return b""


def can_send(sock: socket.socket) -> bool:
    """True if a few bytes can be sent without waiting."""
    return _ready(sock, select.POLLOUT)


def _ready(sock: socket.socket, event: int) -> bool:
    poll = select.poll()
    try:
        poll.register(sock, event)
    except (OSError, ValueError):  # it is closed
        return False
    return bool(poll.poll(0))
