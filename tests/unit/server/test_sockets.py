"""A connection whose other end vanished is noticed."""

import select
import socket
import threading

from tests.unit.server.links import tcp_pair
from twinlock.server.sockets import KEEPALIVE_IDLE, PEER_SECONDS, UNSENT, set_up, wait_for


def test_what_the_kernel_is_told() -> None:
    ours, theirs = tcp_pair()
    with ours, theirs:
        ours.settimeout(5)
        set_up(ours)
        assert ours.gettimeout() is None, "a socket with a time limit waits where it must not"
        assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == KEEPALIVE_IDLE
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == PEER_SECONDS * 1000
        assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == UNSENT


def test_a_peer_is_given_longer_than_initiators_wait_for_a_link() -> None:
    assert 120 < PEER_SECONDS <= 300


def test_waiting() -> None:
    ours, theirs = tcp_pair()
    with ours, theirs:
        assert wait_for(ours, select.POLLOUT)
        assert not wait_for(ours, select.POLLIN, 0.01)
        assert not wait_for(ours, select.POLLIN, -1), (
            "a deadline that has passed is no reason to wait for ever"
        )
        theirs.send(b"x")
        assert wait_for(ours, select.POLLIN)


def test_a_wait_for_a_full_socket_ends_when_it_is_shut_down() -> None:
    ours, theirs = tcp_pair(theirs_receive=4096)
    with ours, theirs:
        set_up(ours)
        try:
            while True:
                ours.send(bytes(65536), socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass
        assert not wait_for(ours, select.POLLOUT, 0.01)
        threading.Timer(0.05, ours.shutdown, [socket.SHUT_RDWR]).start()
        assert wait_for(ours, select.POLLOUT, 10)
