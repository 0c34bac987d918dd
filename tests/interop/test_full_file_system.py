"""The file system under a member is full: the initiator is told, no member fails, and nothing is lost."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.daemon import TARGET_PREFIX, Daemon
from tests.support.initiator import Outcome

MIB = 1 << 20
BLOCK = 4096
ROOM = 24 * MIB
FULL = (7, 0x27, 0x07)
"""DATA PROTECT, SPACE ALLOCATION FAILED WRITE PROTECT (SPC-4, SBC-3 section 4.7.3.6)."""
OLD, LATE = 0, 8
"""Where data are that had room, and where those go that have none: MiB of the volume."""


@pytest.fixture(params=["tmpfs", pytest.param("ext4", marks=pytest.mark.long)])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which can be filled."""
    place, kind = tmp_path / "small", str(request.param)
    place.mkdir()
    source, options = "none", f"size={ROOM}"
    if kind == "ext4":
        image = tmp_path / "image"
        with image.open("wb") as file:
            file.truncate(ROOM)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", image], check=True)
        source, options = str(image), "loop"
    subprocess.run(["mount", "-t", kind, "-o", options, source, place], check=True)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)  # a test that fails leaves files open


@pytest.fixture
def daemon(tmp_path: Path, small: Path) -> Iterator[Daemon]:
    """Gone before its file system is."""
    with Daemon(tmp_path / "root") as running:
        yield running


def fill(folder: Path) -> Path:
    """Take all the room that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (MIB, BLOCK, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
        os.fsync(file.fileno())
    return filler


def attempt(client: Client, megabyte: int, data: bytes) -> Outcome:
    """WRITE(16) of data there, whatever becomes of it."""
    cdb = b"\x8a\0" + (megabyte * MIB // 512).to_bytes(8, "big") + (len(data) // 512).to_bytes(4, "big")
    return client.execute(cdb, write=data)


def sense(outcome: Outcome) -> tuple[int, int, int]:
    """Key, ASC and ASCQ of fixed format."""
    assert outcome.status == 2, outcome
    return outcome.sense[2] & 15, outcome.sense[12], outcome.sense[13]


def read(client: Client, megabyte: int) -> bytes:
    return client.read(megabyte * MIB // 512, MIB // 512)


def opened(daemon: Daemon) -> dict[str, Any]:
    report: dict[str, Any] = daemon.await_unlocked("backup")["open"]
    return report


def is_whole(daemon: Daemon) -> bool:
    status = opened(daemon)
    states = [(member["state"], member["read_errors"]) for member in status["members"]]
    return not status["degraded"] and states == [("in sync", 0)] * 2


def await_agreement(members: list[Path]) -> None:
    """What found no room is tried again after a minute, and after a restart."""
    until = time.monotonic() + 90
    while not agree(members):
        assert time.monotonic() < until
        time.sleep(0.2)


def agree(members: list[Path]) -> bool:
    """True if their data, behind superblock, bitmap and checksums, are the same."""
    left, right = (member.read_bytes()[2 * MIB :] for member in members)
    return left == right


def test_nothing_is_lost_and_it_goes_on_once_there_is_room(
    daemon: Daemon, tmp_path: Path, small: Path
) -> None:
    members = [tmp_path / "left", small / "right"]
    base = ("--size", "32M", "--no-encryption", "--chap", "none")
    daemon.cli("create", "backup", *map(str, members), *base)
    daemon.await_unlocked("backup")
    before, after, late = (bytes([letter]) * MIB for letter in b"oax")
    with Client(daemon.port, TARGET_PREFIX + "backup") as client:
        for megabyte in range(OLD, OLD + 3):
            client.write(megabyte * MIB // 512, before)
        client.flush()
        filler = fill(small)
        assert sense(attempt(client, LATE, late)) == FULL
        assert sense(attempt(client, LATE + 4, late)) == FULL, "and again, not only once"
        client.write(OLD * MIB // 512, after)  # what has its room goes on
        client.flush()
        assert [read(client, OLD + number) for number in range(3)] == [after, before, before]
        assert is_whole(daemon)
    assert "there is no room under member 1" in (daemon.root / "lib/logs/backup.log").read_text()
    daemon.kill_all()  # a crash while there is still no room
    daemon.start()
    assert is_whole(daemon)
    with Client(daemon.port, TARGET_PREFIX + "backup") as client:
        assert [read(client, OLD + number) for number in range(3)] == [after, before, before]
        assert sense(attempt(client, LATE, late)) == FULL
        filler.unlink()
        client.write(LATE * MIB // 512, late)
        client.flush()
        assert opened(daemon)["jobs"], "what found no room on one member is still to be put right"
    assert not agree(members)
    if tmp_path.joinpath("image").exists():  # the long form
        await_agreement(members)
    daemon.api("POST", "/v1/volumes/backup/lock")
    daemon.api("POST", "/v1/volumes/backup/unlock", {})
    with Client(daemon.port, TARGET_PREFIX + "backup") as client:
        await_agreement(members)
        assert is_whole(daemon)
        assert [read(client, place) for place in (OLD, OLD + 1, LATE)] == [after, before, late]
    daemon.stop()
    assert agree(members)
