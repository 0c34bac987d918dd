"""``twinlock scrub`` on a real daemon: progress, end, findings, and what a script sees."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.daemon import TARGET_PREFIX, Daemon
from twinlock import errors

MIB = 1 << 20
CONTENT = b"found again".ljust(4096, b"!") * 16


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path / "root") as daemon:
        yield daemon


def make(daemon: Daemon, tmp_path: Path, *options: str) -> list[Path]:
    members = [tmp_path / f"disk{number}" for number in range(2)]
    base = ("--size", "24M", "--no-encryption", "--chap", "none")
    daemon.cli("create", "backup", *map(str, members), *base, *options)
    daemon.await_unlocked("backup")
    with Client(daemon.port, TARGET_PREFIX + "backup") as client:
        client.write(0, CONTENT)
        client.flush()
    return members


def spoil(member: Path) -> None:
    content = member.read_bytes()
    place = content.index(CONTENT)
    with member.open("r+b") as file:
        file.seek(place + 5)
        file.write(b"rot")


def test_a_scrub_finds_and_repairs_rot(daemon: Daemon, tmp_path: Path) -> None:
    members = make(daemon, tmp_path)
    clean = daemon.cli("scrub", "backup", "--wait")
    assert "nothing found" in clean.stdout
    spoil(members[1])
    found = json.loads(daemon.cli("scrub", "backup", "--wait", "--json").stdout)
    assert (found["state"], found["wrong"], found["repaired"], found["lost"]) == ("finished", 1, 1, 0)
    assert members[0].read_bytes().count(CONTENT) == members[1].read_bytes().count(CONTENT) == 1


@pytest.mark.long
def test_without_checksums_a_difference_is_told_of_and_repair_ends_it(daemon: Daemon, tmp_path: Path) -> None:
    members = make(daemon, tmp_path, "--no-checksums")
    spoil(members[1])
    told = daemon.cli("scrub", "backup", "--wait", check=False)
    assert told.returncode == errors.ScrubFound.exit_code
    assert "--repair" in told.stderr
    daemon.cli("scrub", "backup", "--wait", "--repair")
    assert "nothing found" in daemon.cli("scrub", "backup", "--wait").stdout


@pytest.mark.long
def test_a_scrub_that_runs_can_be_seen_and_cancelled(daemon: Daemon, tmp_path: Path) -> None:
    make(daemon, tmp_path)
    with Client(daemon.port, TARGET_PREFIX + "backup") as client:
        for megabyte in range(20):  # what was never written takes no time
            client.write(megabyte * MIB // 512, bytes([1]) * MIB)
    assert "has not been scrubbed" in daemon.cli("scrub", "backup", "--status").stdout
    daemon.cli("lock", "backup")
    daemon.cli("set", "backup", "--resync-maximum", "20K", "--resync-minimum", "20K")
    daemon.cli("unlock", "backup")
    assert "is running" in daemon.cli("scrub", "backup", "--no-wait").stdout
    again = daemon.cli("scrub", "backup", "--no-wait", check=False)
    assert again.returncode == errors.NotPossibleNow.exit_code
    shown = json.loads(daemon.cli("scrub", "backup", "--status", "--json").stdout)
    assert shown["state"] == "running"
    assert shown["done"] < shown["total"]
    assert "cancelled" in daemon.cli("scrub", "backup", "--cancel").stdout


@pytest.mark.long
def test_a_locked_volume_is_not_scrubbed(daemon: Daemon, tmp_path: Path) -> None:
    make(daemon, tmp_path)
    daemon.cli("lock", "backup")
    refused = daemon.cli("scrub", "backup", check=False)
    assert refused.returncode == errors.NotPossibleNow.exit_code
    assert "twinlock unlock backup" in refused.stderr
