"""One initiator at a time, and a safe way in for the next."""

import threading
import time

import pytest

from tests.conftest import MakeVolume
from tests.support.client import Client, Refused
from tests.support.daemon import TARGET_PREFIX, Daemon
from twinlock.wire.iscsi_codes import LoginStatus

TARGET = TARGET_PREFIX + "backup"
MAC, PC = "iqn.2026-11.example:mac", "iqn.2026-11.example:pc"


@pytest.fixture
def port(daemon: Daemon, make_volume: MakeVolume) -> int:
    make_volume("--no-encryption", "--chap", "none")
    return daemon.port


def test_a_living_holder_keeps_the_disk(port: int) -> None:
    with Client(port, TARGET, name=MAC) as holder:
        serving = threading.Thread(target=holder.await_end, args=(8,))  # answers the ping
        serving.start()
        started = time.monotonic()
        with pytest.raises(Refused) as refused:
            Client(port, TARGET, name=PC)
        assert refused.value.status == LoginStatus.TOO_MANY_CONNECTIONS
        assert time.monotonic() - started < 5, "an answer to the ping decides at once"
        holder.sock.shutdown(2)
        serving.join()


def test_a_silent_holder_is_evicted_and_finds_itself_closed(port: int) -> None:
    with Client(port, TARGET, name=MAC) as silent:
        silent.write(0, b"m" * 512)
        started = time.monotonic()
        with Client(port, TARGET, name=PC) as newcomer:
            assert 9 < time.monotonic() - started < 20
            assert newcomer.read(0, 1) == b"m" * 512
        assert silent.await_end(5)


def test_the_same_initiator_comes_back_at_once(port: int) -> None:
    with Client(port, TARGET, name=MAC) as before:
        started = time.monotonic()
        with Client(port, TARGET, name=MAC) as again:
            assert time.monotonic() - started < 5
            again.write(0, b"x" * 512)
        assert before.await_end(5)


def test_after_a_logout_anyone_may_come(port: int) -> None:
    with Client(port, TARGET, name=MAC) as first:
        first.protocol.logout()
        assert first.await_end(5)
    with Client(port, TARGET, name=PC) as second:
        assert second.capacity()[1] == 512
