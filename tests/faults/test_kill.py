"""``kill -9`` at any moment: what was flushed is there, and who is not killed notices nothing."""

import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import MakeVolume
from tests.support.client import Client, Refused
from tests.support.daemon import TARGET_PREFIX, Daemon
from tests.support.faults import times
from tests.support.initiator import Credentials
from twinlock.wire.iscsi_codes import LoginStatus

TARGET = TARGET_PREFIX + "backup"
BLOCKS = 64
"""Places that the writer writes to, each of 4 KiB."""
PLACE = 8
"""Blocks of 512 bytes of one place."""


def connect(daemon: Daemon, **options: object) -> Client:
    credentials = Credentials("backup", daemon.secret("backup").encode())
    return Client(daemon.port, TARGET, credentials, **options)  # type: ignore[arg-type]


def content(place: int, version: int) -> bytes:
    return f"place {place} version {version} ".encode().ljust(64, b".") * (PLACE * 512 // 64)


class Writer:
    """Writes versions to random places and flushes now and then; knows what may be there afterwards."""

    def __init__(self, client: Client, seed: int) -> None:
        self.client = client
        self.random = random.Random(seed)
        self.version = 0
        self.flushed = dict.fromkeys(range(BLOCKS), 0)
        self.pending: dict[int, set[int]] = {}

    def prepare(self) -> None:
        """Version 0 everywhere, flushed."""
        for place in range(BLOCKS):
            self.client.write(place * PLACE, content(place, 0))
        self.client.flush()

    def run(self) -> None:
        """Until the connection breaks."""
        try:
            while True:
                self.version += 1
                place = self.random.randrange(BLOCKS)
                self.pending.setdefault(place, set()).add(self.version)
                self.client.write(place * PLACE, content(place, self.version))
                if self.version % 7 == 0:
                    self._flush()
        except (EOFError, OSError):
            return

    def _flush(self) -> None:
        self.client.flush()
        for place, versions in self.pending.items():
            self.flushed[place] = max(versions)
        self.pending.clear()

    def check(self, client: Client) -> None:
        """Every place holds the flushed version or one written since."""
        for place in range(BLOCKS):
            legal = {self.flushed[place], *self.pending.get(place, ())}
            found = client.read(place * PLACE, PLACE)
            assert found in {content(place, version) for version in legal}, f"place {place}: {found[:64]!r}"


@pytest.mark.parametrize("victim", ["worker", "both"])
@pytest.mark.parametrize("seed", range(times(1, 50)))
def test_flushed_writes_survive_kill_9(
    daemon: Daemon, make_volume: MakeVolume, passphrase_file: Path, victim: str, seed: int
) -> None:
    make_volume()
    with connect(daemon) as client:
        writer = Writer(client, seed)
        writer.prepare()
        thread = threading.Thread(target=writer.run)
        thread.start()
        time.sleep(random.Random(seed).uniform(0.3, 1.0))
        if victim == "worker":
            os.kill(daemon.worker_pids()[0], signal.SIGKILL)
        else:
            daemon.kill_all()
        thread.join(30)
        assert not thread.is_alive()
    assert writer.version > 20, "something was written before the kill"
    if victim == "both":
        daemon.start()
    wait_for(lambda: daemon.status("backup")["state"] in ("failed", "locked"))
    daemon.cli("unlock", "backup", "--passphrase-file", str(passphrase_file))
    with connect(daemon) as client:
        writer.check(client)


def wait_for(condition: object, seconds: float = 20) -> None:
    assert callable(condition)
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def test_a_new_supervisor_adopts_a_living_worker(daemon: Daemon, make_volume: MakeVolume) -> None:
    make_volume()
    with connect(daemon) as client:
        client.write(0, content(0, 1))
        before = daemon.worker_pids()
        daemon.kill()
        client.write(PLACE, content(1, 1))
        client.flush()
        daemon.start()
        assert daemon.worker_pids() == before
        report = daemon.status("backup")
        assert report["state"] == "unlocked"
        assert [each["initiator"] for each in report["open"]["sessions"]] == [client.protocol.name]
        client.write(2 * PLACE, content(2, 1))
        assert client.read(0, PLACE) == content(0, 1)
        assert client.read(PLACE, PLACE) == content(1, 1)
    daemon.cli("lock", "backup")
    wait_for(lambda: not daemon.worker_pids())


def test_sigusr1_ends_the_supervisor_only(daemon: Daemon, make_volume: MakeVolume) -> None:
    make_volume()
    with connect(daemon) as client:
        assert daemon.process is not None
        daemon.process.send_signal(signal.SIGUSR1)
        assert daemon.process.wait(20) == 0
        client.write(0, content(0, 1))
        daemon.start()
        assert client.read(0, PLACE) == content(0, 1)


def test_a_worker_whose_volume_is_not_configured_any_more_ends(
    daemon: Daemon, make_volume: MakeVolume
) -> None:
    make_volume()
    (pid,) = daemon.worker_pids()
    daemon.kill()
    (daemon.root / "etc/twinlock.toml").write_text("")  # the volume is no longer configured
    daemon.start()
    wait_for(lambda: pid not in daemon.worker_pids())


def test_a_worker_that_dies_takes_no_other_volume_with_it(
    daemon: Daemon, make_volume: MakeVolume, tmp_path: Path, passphrase_file: Path
) -> None:
    make_volume()
    others = [str(tmp_path / "c.img"), str(tmp_path / "d.img")]
    daemon.cli("create", "other", *others, "--size", "64M", "--no-encryption")
    pids = daemon.worker_pids()
    assert len(pids) == 2
    with connect(daemon) as client:
        victim = next(pid for pid in pids if b"d.img" in _open_files(pid))
        os.kill(victim, signal.SIGKILL)
        client.write(0, content(0, 1))
        assert client.read(0, PLACE) == content(0, 1)
        # it needs no key, so it comes back by itself
        wait_for(lambda: daemon.status("other")["state"] == "unlocked" and victim not in daemon.worker_pids())


def _open_files(pid: int) -> bytes:
    folder = Path(f"/proc/{pid}/fd")
    return b"\n".join(os.fsencode(os.readlink(entry)) for entry in folder.iterdir())


def test_sigterm_tells_the_session_and_marks_the_array_clean(daemon: Daemon, make_volume: MakeVolume) -> None:
    make_volume()
    with connect(daemon) as client:
        client.write(0, content(0, 1))
        stopping = threading.Thread(target=daemon.stop)
        stopping.start()
        assert client.await_end(10)
        stopping.join(30)
        told = [
            reply.header for reply in client.protocol.replies if type(reply.header).__name__ == "AsyncMessage"
        ]
        assert [message.event for message in told] == [1], "a logout was asked for"
    assert not daemon.worker_pids()


def test_a_locked_volume_and_an_unknown_target_say_so(daemon: Daemon, make_volume: MakeVolume) -> None:
    make_volume()
    daemon.cli("lock", "backup")
    with pytest.raises(Refused) as refused:
        connect(daemon)
    assert refused.value.status == LoginStatus.SERVICE_UNAVAILABLE
    with pytest.raises(Refused) as refused:
        Client(daemon.port, TARGET_PREFIX + "nothing")
    assert refused.value.status == LoginStatus.TARGET_NOT_FOUND
