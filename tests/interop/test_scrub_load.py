"""A scrub while the initiator is at work: no difference that is none, no write that gets lost."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.daemon import TARGET_PREFIX, Daemon

MIB = 1 << 20
BLOCK = 4096
BLOCKS = 16 * MIB // BLOCK
SECONDS = 8.0


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path / "root") as daemon:
        yield daemon


class Writer(threading.Thread):
    """Writes blocks and parts of blocks, all over the volume, and reads some of them back."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client
        self._random = Random(6)
        self.expected = bytearray(BLOCKS * BLOCK)
        self.writes = 0
        self.over = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.over.is_set():
                self._act()
        except BaseException as error:
            self.error = error

    def _act(self) -> None:
        first = self._random.randrange(BLOCKS * 8 - 64)
        count = self._random.choice((1, 3, 8, 8, 16, 64))
        data = self._random.randbytes(count * 512)
        self._client.write(first, data)
        self.expected[first * 512 : first * 512 + len(data)] = data
        self.writes += 1
        if not self.writes % 50:
            self._client.flush()
            first = self._random.randrange(BLOCKS * 8 - 64)
            assert self._client.read(first, 64) == self.expected[first * 512 : (first + 64) * 512]


def show(daemon: Daemon) -> dict[str, Any]:
    return task(daemon, "scrub-show")["scrub"]  # type: ignore[no-any-return]


def task(daemon: Daemon, name: str, **more: Any) -> dict[str, Any]:
    return daemon.api("POST", "/v1/volumes/backup/tasks", {"task": name} | more)


@pytest.mark.long
@pytest.mark.parametrize("options", [(), ("--no-checksums",)], ids=["checksums", "none"])
@pytest.mark.parametrize("repair", [False, True])
def test_scrubs_one_after_the_other_under_load(
    daemon: Daemon, tmp_path: Path, options: tuple[str, ...], repair: bool
) -> None:
    members = [tmp_path / f"disk{number}" for number in range(2)]
    base = ("--size", "24M", "--no-encryption", "--chap", "none")
    daemon.cli("create", "backup", *map(str, members), *base, *options)
    daemon.cli("lock", "backup")
    daemon.cli("set", "backup", "--resync-minimum", "1G")
    daemon.cli("unlock", "backup")
    daemon.await_unlocked("backup")
    with Client(daemon.port, TARGET_PREFIX + "backup") as client:
        for megabyte in range(16):
            client.write(megabyte * MIB // 512, bytes(MIB))
        writer = Writer(client)
        writer.start()
        results = scrubs(daemon, repair)
        writer.over.set()
        writer.join()
        assert writer.error is None
        assert writer.writes > 100
        assert len(results) >= 3
        assert [each for each in results if found(each)] == []
        client.flush()
        for megabyte in range(16):
            got = client.read(megabyte * MIB // 512, MIB // 512)
            assert got == writer.expected[megabyte * MIB : (megabyte + 1) * MIB]
    daemon.stop()
    contents = [member.read_bytes()[-22 * MIB :] for member in members]
    assert contents[0] == contents[1]


def scrubs(daemon: Daemon, repair: bool) -> list[dict[str, Any]]:
    """As many as end in the time; every second one is cancelled on its way first."""
    results: list[dict[str, Any]] = []
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        task(daemon, "scrub-start", repair=repair)
        if len(results) % 2:
            time.sleep(0.1)
            task(daemon, "scrub-cancel")
        while (shown := show(daemon))["state"] == "running":
            assert time.monotonic() < until + 30
            time.sleep(0.05)
        results.append(shown)
    return results


def found(result: dict[str, Any]) -> bool:
    return any(result[name] for name in ("unreadable", "wrong", "mismatches", "repaired", "lost", "records"))
