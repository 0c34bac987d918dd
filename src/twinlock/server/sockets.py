"""How the sockets of sessions are set up, and how to wait for one.

They stay in blocking mode: a socket with a time limit waits even where MSG_DONTWAIT
is asked for.  Whoever must not wait too long asks :func:`wait_for` first.
"""

import select
import socket

from twinlock.units import KIB

KEEPALIVE_IDLE = 60
"""Seconds without a word from the peer after which the kernel asks whether it is there."""
KEEPALIVE_INTERVAL = 15
"""Seconds between two such questions."""
KEEPALIVE_COUNT = 8
"""Questions without an answer after which the connection has failed."""
PEER_SECONDS = KEEPALIVE_IDLE + KEEPALIVE_INTERVAL * KEEPALIVE_COUNT
"""How long a peer may leave what was sent unacknowledged, or its window shut, until the connection fails.

Three minutes: initiators that wait for a link to come back do so for two.
"""
UNSENT = 512 * KIB
"""Bytes the kernel queues that are not on their way yet: no answer can overtake these."""

_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_COUNT),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, PEER_SECONDS * 1000),
    (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT),
)


def set_up(sock: socket.socket) -> None:
    """Make a connection as sessions want it; raises OSError if it has ended already."""
    sock.setblocking(True)
    for level, option, value in _OPTIONS:
        sock.setsockopt(level, option, value)


def wait_for(sock: socket.socket, event: int, seconds: float | None = None) -> bool:
    """True once ``event`` (POLLIN or POLLOUT) or the connection's end has come; False after ``seconds``.

    Raises OSError or ValueError if the socket is closed.
    """
    poll = select.poll()
    poll.register(sock, event)
    return bool(poll.poll(None if seconds is None else max(0.0, seconds) * 1000))
