"""Whether the other end of a connection still lives."""

import array
import fcntl
import select
import socket
import termios
import threading
from collections.abc import Callable

from twinlock.server.timing import SYSTEM_TIMER, Timer

LOOK_SECONDS = 1.0
"""Between two looks at whether anybody still waits for the answer."""


class Liveness:
    """Counts what is heard from a peer, for whoever waits for a sign of life."""

    def __init__(self, sock: socket.socket, timer: Timer = SYSTEM_TIMER) -> None:
        self._sock = sock
        self._timer = timer
        self._changed = threading.Condition()
        self._watchers = 0
        self._count = 0
        self._over = False
        self.last_heard = timer.now()
        """When the peer was last heard, in the timer's seconds."""

    def heard(self) -> None:
        """Something came.  Costs next to nothing while nobody watches."""
        self._count += 1
        self.last_heard = self._timer.now()
        if self._watchers:
            with self._changed:
                self._changed.notify_all()

    def over(self) -> None:
        """Nothing will come any more."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def answers(
        self, ping: Callable[[], None], patience: float, given_up: Callable[[], bool] = lambda: False
    ) -> bool:
        """Call ``ping``; True as soon as anything comes, False after ``patience`` seconds or at the end.

        Bytes that came since and lie unread in the socket count: then it is our side that is slow.
        False soon after ``given_up`` says that nobody wants to know any more.
        """
        with self._changed:
            self._watchers += 1
        try:
            count, unread = self._count, self._unread()
            ping()
            return self._watch(count, patience, given_up) or (not self._over and self._unread() > unread)
        finally:
            with self._changed:
                self._watchers -= 1

    def _watch(self, count: int, patience: float, given_up: Callable[[], bool]) -> bool:
        """True once something was heard after ``count``."""
        until = self._timer.now() + patience
        with self._changed:
            while (left := until - self._timer.now()) > 0 and not (self._over or given_up()):
                if self._timer.wait_for(
                    self._changed, lambda: self._count != count or self._over, min(left, LOOK_SECONDS)
                ):
                    break
            return self._count != count

    def is_gone(self) -> bool:
        """True if the peer has closed the connection, and everything it sent before was read."""
        if not _ready(self._sock, select.POLLIN):  # a socket with a time limit would wait here
            return False
        try:
            return not self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _unread(self) -> int:
        """Bytes that have come and were not read."""
        size = array.array("i", [0])
        try:
            fcntl.ioctl(self._sock, termios.FIONREAD, size)
        except (OSError, ValueError):  # it is closed
            return 0
        return size[0]


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
