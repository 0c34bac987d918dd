"""``twinlock scrub`` on a real daemon: progress, end, findings, and what a script sees."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.daemon import TARGET_PREFIX, Daemon, twinlock
from tests.support.terminal import on_terminal
from twinlock import errors
from twinlock.units import parse_size

MIB = 1 << 20
RATE = re.compile(r"([\d.]+) ([KMG])iB a second")
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
    kept = {key: found[key] for key in ("state", "ended", "wrong", "repaired", "checked")}
    daemon.kill_all()
    daemon.start()
    daemon.await_unlocked("backup")
    for shown in (daemon.status("backup")["last_scrub"], last_of(daemon)):
        assert {key: shown[key] for key in kept} == kept, "it outlives the worker and the supervisor"
    daemon.api("POST", "/v1/volumes/backup/lock")
    told = daemon.cli("status", "backup").stdout
    assert re.search(r"last scrub +20\d\d-\d\d-\d\d \d\d:\d\d: .* checked, 1 block wrong, 1 repaired", told)


def last_of(daemon: Daemon) -> dict[str, Any]:
    """What ``twinlock scrub --status`` shows."""
    scrub: dict[str, Any] = daemon.api("POST", "/v1/volumes/backup/tasks", {"task": "scrub-show"})["scrub"]
    return scrub


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
    assert "has not been scrubbed yet" in daemon.cli("scrub", "backup", "--status").stdout
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


@pytest.mark.long
def test_what_a_person_sees(daemon: Daemon, tmp_path: Path) -> None:
    """Progress with its rate and time left while it runs, then what was found; and the same from status."""
    members = make(daemon, tmp_path)
    with Client(daemon.port, TARGET_PREFIX + "backup") as client:
        for megabyte in range(1, 8):
            client.write(megabyte * MIB // 512, bytes([megabyte]) * MIB)
    daemon.cli("lock", "backup")
    spoil(members[1])
    daemon.cli("set", "backup", "--resync-maximum", "1M")
    daemon.cli("unlock", "backup")
    code, lines = on_terminal([*twinlock(), "scrub", "backup"], daemon.environ)
    assert code == 0
    moving = [line for line in lines if re.search(r"\d+ % ?\), .* a second, .* left", line)]
    rates = [parse_size("".join(match)) for line in moving for match in RATE.findall(line)]
    assert rates
    assert max(rates) <= 1.3 * MIB, "holes are passed over, and not told as speed"
    assert re.search(r"is finished \(.*\): .* checked, 1 block wrong, 1 repaired\.", lines[-1])
    daemon.cli("scrub", "backup", "--no-wait")
    code, lines = on_terminal([*twinlock(), "status", "backup"], daemon.environ)
    assert code == 0
    (place,) = [number for number, line in enumerate(lines) if line.strip().startswith("scrub ")]
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" in "".join(lines[place + 1 : place + 4])
    assert any("resync" in line and "1M a second" in line for line in lines)
