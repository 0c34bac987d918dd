"""``kill -9`` after the worker's reply, before the configuration has it: the same command again goes on."""

import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import foreign
from tests.support.daemon import Daemon

DIES = """
import os
from {module} import {owner}
{owner}.{method} = lambda *_: os.kill(os.getpid(), 9)
from twinlock.cli.main import main
main()
"""
BEFORE_THE_MEMBERS = ("twinlock.daemon.change", "Changes", "take_members")
BEFORE_THE_VOLUME = ("twinlock.daemon.config", "ConfigurationFile", "add")


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Daemon]:
    """None runs yet: commands do their work by themselves."""
    daemon = Daemon(tmp_path / "root")
    daemon.root.mkdir()
    yield daemon
    if daemon.process is not None:
        daemon.stop()
    daemon.kill_all()


def die(daemon: Daemon, where: tuple[str, str, str], *arguments: str | Path) -> None:
    """Run a command that is killed there."""
    module, owner, method = where
    program = DIES.format(module=module, owner=owner, method=method)
    words = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(words, env=daemon.environ, capture_output=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def make(daemon: Daemon, folder: Path) -> list[str]:
    members = [str(folder / name) for name in ("first", "second")]
    daemon.cli("create", "backup", *members, "--size", "16M", "--no-encryption", "--chap", "none")
    return members


def configured(daemon: Daemon) -> dict[str, Any]:
    tables = tomllib.loads((daemon.root / "etc/twinlock.toml").read_text())["volume"]
    table: dict[str, Any] = tables[0]
    assert len(tables) == 1
    return table


def complete(daemon: Daemon, members: list[str]) -> None:
    """The volume starts with these, and needs nothing more."""
    if daemon.process is None:
        daemon.start()
    daemon.await_unlocked("backup")
    until = time.monotonic() + 60
    while "leaving" in configured(daemon) or daemon.members("backup")["degraded"]:
        assert time.monotonic() < until, daemon.members("backup")
        time.sleep(0.1)
    found = daemon.members("backup")
    assert {each["path"] for each in found["found"]} == set(members) == set(configured(daemon)["members"])
    assert found["places"] == 2


def test_a_replacement_goes_on_by_itself(stopped: Daemon, tmp_path: Path) -> None:
    first, second = make(stopped, tmp_path)
    new = str(tmp_path / "new")
    die(stopped, BEFORE_THE_MEMBERS, "member", "replace", "backup", first, new)
    assert os.path.exists(new)
    complete(stopped, [second, new])


@pytest.mark.long
def test_a_replacement_that_never_began(stopped: Daemon, tmp_path: Path) -> None:
    """It was noted only; the volume is as it was, and the command can be given again."""
    first, second = make(stopped, tmp_path)
    new = str(tmp_path / "new")
    begins = ("twinlock.daemon.volume", "ManagedVolume", "maintain")
    announced = ("twinlock.daemon.change", "Changes", "announce")
    die(stopped, announced, "member", "replace", "backup", first, new)
    assert "leaving" not in configured(stopped)
    die(stopped, begins, "member", "replace", "backup", first, new)
    file = stopped.root / "etc/twinlock.toml"
    noted = f'leaving = ["{first}"]\ncopies = 2\n'
    file.write_text(file.read_text().replace(f'"{second}"]', f'"{second}", "{new}"]') + noted)
    stopped.start()
    stopped.await_unlocked("backup")
    until = time.monotonic() + 30
    while "leaving" in configured(stopped):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert not stopped.members("backup")["degraded"]
    stopped.cli("member", "replace", "backup", first, new, "--wait")
    complete(stopped, [second, new])


@pytest.mark.long
def test_a_new_member_is_named_again(stopped: Daemon, tmp_path: Path) -> None:
    members = make(stopped, tmp_path)
    new = str(tmp_path / "new")
    die(stopped, BEFORE_THE_MEMBERS, "member", "add", "backup", new)
    assert configured(stopped)["members"] == members
    stopped.cli("member", "add", "backup", new)
    complete(stopped, [*members, new])


KILLED = """
import os, sys
if "serve" in sys.argv:
    from twinlock.daemon.change import Changes
    Changes.take_members = lambda *_: os.kill(os.getpid(), 9)
"""


def die_serving(daemon: Daemon, folder: Path, *arguments: str) -> None:
    """The supervisor of an open volume is killed there; the worker lives on, and has the members it has."""
    (folder / "sitecustomize.py").write_text(KILLED)
    path = daemon.environ.get("PYTHONPATH", "")
    daemon.environ["PYTHONPATH"] = f"{folder}:{path}"
    daemon.start()
    daemon.environ["PYTHONPATH"] = path
    daemon.await_unlocked("backup")
    daemon.cli(*arguments, check=False)
    daemon.process.wait() if daemon.process else None
    daemon.process = None
    assert daemon.worker_pids()
    daemon.start()
    daemon.await_unlocked("backup")


@pytest.mark.long
def test_a_member_that_an_open_volume_has_is_named_again(stopped: Daemon, tmp_path: Path) -> None:
    members = make(stopped, tmp_path)
    new = str(tmp_path / "new")
    die_serving(stopped, tmp_path, "member", "add", "backup", new)
    assert configured(stopped)["members"] == members
    listed = stopped.cli("member", "list", "backup").stdout
    assert f"the configuration lacks it; to keep it: twinlock member add backup {new}" in listed
    stopped.cli("member", "add", "backup", new)
    complete(stopped, [*members, new])


@pytest.mark.long
def test_a_member_that_an_open_volume_let_go_of_is_forgotten(stopped: Daemon, tmp_path: Path) -> None:
    first, second = make(stopped, tmp_path)
    third = str(tmp_path / "third")
    stopped.cli("member", "add", "backup", third)
    die_serving(stopped, tmp_path, "member", "remove", "backup", third)
    assert configured(stopped)["members"] == [first, second, third]
    assert f"twinlock member remove backup {third}" in stopped.cli("member", "list", "backup").stdout
    stopped.cli("member", "remove", "backup", third)
    complete(stopped, [first, second])


@pytest.mark.long
def test_a_replacement_in_an_open_volume_goes_on_by_itself(stopped: Daemon, tmp_path: Path) -> None:
    first, second = make(stopped, tmp_path)
    new = str(tmp_path / "new")
    die_serving(stopped, tmp_path, "member", "replace", "backup", first, new)
    complete(stopped, [second, new])


@pytest.mark.long
def test_a_volume_that_grew(stopped: Daemon, tmp_path: Path) -> None:
    members = make(stopped, tmp_path)
    before = os.path.getsize(members[0])
    die(stopped, BEFORE_THE_MEMBERS, "grow", "backup", "--size", "24M")
    assert [os.path.getsize(member) for member in members] == [before + (8 << 20)] * 2
    assert "uses all" in stopped.cli("grow", "backup", "--size", "24M").stdout
    complete(stopped, members)


@pytest.mark.long
def test_an_import(stopped: Daemon, tmp_path: Path) -> None:
    """The array has its bitmap, which is all that was written; nothing else is in the way."""
    pair = [tmp_path / "one", tmp_path / "two"]
    size = foreign.array(pair)
    foreign.array(pair, foreign.partitioned(tmp_path / "contents", size), feature_map=0, bitmap_offset=0)
    command = ("import", *map(str, pair), "--name", "backup", "--yes", "--chap", "none")
    die(stopped, BEFORE_THE_VOLUME, *command)
    assert foreign.superblock(pair[0]).has_bitmap
    assert "is taken over" in stopped.cli(*command).stdout
    complete(stopped, [str(each) for each in pair])
