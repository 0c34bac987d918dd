"""Members come and go while a real initiator writes: nothing is lost, and the configuration follows."""

import json
import os
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.daemon import TARGET_PREFIX, Daemon
from twinlock import errors

SIZE = "24M"
BLOCK = 512


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path / "root") as daemon:
        yield daemon


def make(daemon: Daemon, tmp_path: Path, count: int = 2, name: str = "backup") -> list[str]:
    """A volume without a key, open; its members."""
    members = [str(tmp_path / f"{name}{number}") for number in range(count)]
    daemon.cli("create", name, *members, "--size", SIZE, "--no-encryption", "--chap", "none")
    daemon.await_unlocked(name)
    return members


def members_of(daemon: Daemon, name: str = "backup") -> dict[str, Any]:
    return daemon.members(name)


def configured(daemon: Daemon) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((daemon.root / "etc/twinlock.toml").read_text())["volume"][0]
    return table


def states(daemon: Daemon) -> dict[str, str]:
    return {each["path"]: each["state"] for each in members_of(daemon)["found"]}


def wait_for(told: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + 60
    while not told():
        assert time.monotonic() < until, what
        time.sleep(0.2)


class Writer:
    """An initiator that writes blocks, one after another, until it is told to stop."""

    def __init__(self, daemon: Daemon) -> None:
        self.client = Client(daemon.port, TARGET_PREFIX + "backup")
        self.written: dict[int, bytes] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        for number in range(1 << 30):
            if self._stop.is_set():
                return
            block = number * 7919 % 8192
            self.written[block] = number.to_bytes(8, "big") * (BLOCK // 8)
            self.client.write(block, self.written[block])
            time.sleep(0.002)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.client.flush()
        for block, data in self.written.items():
            assert self.client.read(block, 1) == data
        self.client.close()


def test_a_disk_is_replaced_while_it_is_in_use(daemon: Daemon, tmp_path: Path) -> None:
    first, second = make(daemon, tmp_path)
    new = str(tmp_path / "new")
    with Writer(daemon) as writer:
        daemon.cli("member", "replace", "backup", first, new)
        assert configured(daemon)["leaving"] == [first]
        wait_for(lambda: "leaving" not in configured(daemon), "the old member leaves the configuration")
    assert configured(daemon)["members"] == [second, new]
    assert states(daemon) == {new: "in sync", second: "in sync"}
    assert not members_of(daemon)["degraded"]
    assert writer.written


@pytest.mark.long
def test_a_replacement_goes_on_after_a_restart(daemon: Daemon, tmp_path: Path) -> None:
    first, second = make(daemon, tmp_path)
    new = str(tmp_path / "new")
    daemon.cli("lock", "backup")
    daemon.cli("member", "replace", "backup", first, new)
    assert members_of(daemon)["places"] == 3
    daemon.stop()
    daemon.start()
    daemon.await_unlocked("backup")
    wait_for(lambda: "leaving" not in configured(daemon), "the old member leaves the configuration")
    assert configured(daemon)["members"] == [second, new]
    assert (members_of(daemon)["places"], members_of(daemon)["degraded"]) == (2, False)


@pytest.mark.long
def test_a_replacement_whose_new_disk_is_gone_after_a_restart_is_over(daemon: Daemon, tmp_path: Path) -> None:
    """The volume has as many copies to keep as before, and is not degraded; the disk can come back."""
    first, second = make(daemon, tmp_path)
    new = tmp_path / "new"
    daemon.cli("lock", "backup")
    daemon.cli("member", "replace", "backup", first, str(new))
    at_rest = members_of(daemon)
    assert (at_rest["replacing"], at_rest["degraded"], at_rest["open"]) == (first, False, False)
    assert (configured(daemon)["leaving"], configured(daemon)["copies"]) == ([first], 2)
    new.rename(tmp_path / "away")
    daemon.cli("unlock", "backup")
    found = members_of(daemon)
    assert (found["places"], found["degraded"], found["replacing"]) == (2, False, None)
    wait_for(lambda: "leaving" not in configured(daemon), "nothing is being replaced any more")
    assert "copies" not in configured(daemon)
    assert states(daemon) == {first: "in sync", second: "in sync", str(new): "not there"}
    (tmp_path / "away").rename(new)
    daemon.cli("member", "add", "backup", str(new))
    daemon.cli("member", "replace", "backup", first, str(new), "--wait")  # a spare takes the place
    assert states(daemon) == {second: "in sync", str(new): "in sync"}
    assert members_of(daemon)["places"] == 2


@pytest.mark.long
def test_a_replacement_whose_old_disk_is_gone_after_a_restart_goes_on(daemon: Daemon, tmp_path: Path) -> None:
    first, second = make(daemon, tmp_path)
    new = str(tmp_path / "new")
    daemon.cli("lock", "backup")
    daemon.cli("member", "replace", "backup", first, new)
    os.rename(first, tmp_path / "away")
    daemon.cli("unlock", "backup")
    wait_for(lambda: "leaving" not in configured(daemon), "the old member leaves the configuration")
    wait_for(lambda: not members_of(daemon)["degraded"], "the new member is complete")
    assert states(daemon) == {second: "in sync", new: "in sync"}
    assert members_of(daemon)["places"] == 2


@pytest.mark.long
def test_what_is_being_replaced_is_not_forgotten_by_a_volume_that_gave_that_up(
    daemon: Daemon, tmp_path: Path
) -> None:
    """The configuration may say so for a while after the array gave it up; both members stay."""
    first, second = make(daemon, tmp_path)
    daemon.cli("lock", "backup")
    daemon.stop()
    file = daemon.root / "etc/twinlock.toml"
    file.write_text(f'{file.read_text()}leaving = ["{first}"]\ncopies = 2\n')
    daemon.start()
    daemon.await_unlocked("backup")
    wait_for(lambda: "leaving" not in configured(daemon), "nothing is being replaced")
    assert states(daemon) == {first: "in sync", second: "in sync"}
    assert members_of(daemon)["places"] == 2


@pytest.mark.long
def test_a_third_copy_and_back(daemon: Daemon, tmp_path: Path) -> None:
    first, second = make(daemon, tmp_path)
    third = str(tmp_path / "third")
    with Writer(daemon):
        daemon.cli("member", "add", "backup", third)
        assert states(daemon)[third] == "spare"
        daemon.cli("grow", "backup", "--copies", "3")
        wait_for(lambda: states(daemon)[third] == "in sync", "the third copy is complete")
        assert configured(daemon)["members"] == [first, second, third]
        daemon.cli("member", "remove", "backup", third)
        daemon.cli("grow", "backup", "--copies", "2")
    assert members_of(daemon)["places"] == 2
    assert not members_of(daemon)["degraded"]
    assert configured(daemon)["members"] == [first, second]


@pytest.mark.long
def test_a_spare_takes_the_place_of_who_failed_and_who_was_away_catches_up(
    daemon: Daemon, tmp_path: Path
) -> None:
    first, second = make(daemon, tmp_path)
    spare = str(tmp_path / "spare")
    with Writer(daemon):
        daemon.cli("member", "fail", "backup", first)
        assert members_of(daemon)["degraded"]
        assert "twinlock member add" in daemon.cli("status").stdout
        daemon.cli("member", "add", "backup", first)
        wait_for(lambda: states(daemon)[first] == "in sync", "who was away catches up")
        daemon.cli("member", "add", "backup", spare)
        daemon.cli("member", "fail", "backup", second)
        wait_for(lambda: states(daemon)[spare] == "in sync", "the spare is filled")
    assert not members_of(daemon)["degraded"]


@pytest.mark.long
def test_members_of_a_locked_volume(daemon: Daemon, tmp_path: Path) -> None:
    first, second = make(daemon, tmp_path)
    daemon.cli("lock", "backup")
    third = str(tmp_path / "third")
    before = Path(first).read_bytes()
    assert states(daemon) == {first: "in sync", second: "in sync"}
    assert Path(first).read_bytes() == before, "looking changes nothing"
    daemon.cli("member", "add", "backup", third)
    assert states(daemon)[third] == "spare"
    daemon.stop()
    alone = json.loads(daemon.cli("member", "list", "backup", "--json").stdout)
    assert [each["state"] for each in alone["found"]] == ["in sync", "in sync", "spare"]
    daemon.cli("member", "remove", "backup", third)
    assert configured(daemon)["members"] == [first, second]


def test_members_that_ran_apart(daemon: Daemon, tmp_path: Path) -> None:
    """Each half was written to without the other; nothing is merged by guessing."""
    first, second = make(daemon, tmp_path)
    daemon.cli("lock", "backup")
    for gone in (first, second):
        away = f"{gone}.away"
        os.rename(gone, away)
        if gone == second:
            os.rename(f"{first}.away", first)
        daemon.cli("unlock", "backup")
        with Client(daemon.port, TARGET_PREFIX + "backup") as client:
            client.write(0, gone.encode().ljust(BLOCK))
            client.flush()
        daemon.cli("lock", "backup")
    os.rename(f"{second}.away", second)
    refused = daemon.cli("unlock", "backup", check=False)
    assert refused.returncode == errors.MembersDiverged.exit_code
    found = members_of(daemon)
    assert "twinlock member choose" in found["account"]
    daemon.cli("member", "choose", "backup", second)
    daemon.cli("unlock", "backup")
    wait_for(lambda: set(states(daemon).values()) == {"in sync"}, "the other is filled")
    with Client(daemon.port, TARGET_PREFIX + "backup") as client:
        assert client.read(0, 1) == first.encode().ljust(BLOCK), "what the chosen one held"


def refusals(tmp_path: Path, members: list[str]) -> list[tuple[list[str], type[errors.TwinlockError]]]:
    small, taken, folder = (str(tmp_path / each) for each in ("small", "taken", "folder"))
    Path(small).write_bytes(bytes(1 << 20))
    Path(taken).write_bytes(b"precious".ljust(64 << 20, b"\1"))
    Path(folder).mkdir()
    new = str(tmp_path / "unused")
    link = tmp_path / "link"
    link.symlink_to(members[0])
    return [
        (["member", "add", "nobody", new], errors.NoSuchVolume),
        (["member", "add", "backup", members[0]], errors.NotPossibleNow),
        (["member", "add", "backup", str(link)], errors.NotPossibleNow),
        (["member", "add", "backup", small], errors.MemberTooSmall),
        (["member", "add", "backup", new, "--size", "1M"], errors.MemberTooSmall),
        (["member", "add", "backup", new, "--size", "much"], errors.BadOption),
        (["member", "add", "backup", taken], errors.MemberHasSignature),
        (["member", "add", "backup", folder], errors.MemberUnusable),
        (["member", "add", "backup", "/dev/no-such-disk"], errors.MemberMissing),
        (["member", "remove", "backup", new], errors.NoSuchMember),
        (["member", "fail", "backup", new], errors.NoSuchMember),
        (["member", "replace", "backup", new, new], errors.NoSuchMember),
        (["member", "replace", "backup", members[0], members[1]], errors.NotPossibleNow),
        (["member", "choose", "backup", members[0]], errors.NotPossibleNow),
        (["grow", "backup", "--size", "1M"], errors.CannotGrow),
        (["grow", "backup", "--copies", "0"], errors.BadOption),
        (["grow", "backup", "--copies", "1"], errors.NotPossibleNow),
        (["scrub", "backup", "--cancel", "--repair"], errors.BadOption),
        (["set", "backup", "--resync-maximum", "fast"], errors.BadOption),
    ]


@pytest.mark.long
def test_what_cannot_be_done_changes_nothing(daemon: Daemon, tmp_path: Path) -> None:
    members = make(daemon, tmp_path)
    before, events = configured(daemon), members_of(daemon)
    for arguments, error in refusals(tmp_path, members):
        done = daemon.cli(*arguments, check=False)
        assert done.returncode == error.exit_code, (arguments, done.stderr)
        assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "unused").exists()
    assert (configured(daemon), members_of(daemon)) == (before, events)
    daemon.cli("member", "fail", "backup", members[0])
    last = daemon.cli("member", "remove", "backup", members[1], check=False)
    assert last.returncode == errors.MemberNeeded.exit_code


@pytest.mark.long
def test_of_a_locked_volume_nothing_is_waited_for_and_nothing_fails(daemon: Daemon, tmp_path: Path) -> None:
    first, _ = make(daemon, tmp_path)
    daemon.cli("lock", "backup")
    new = tmp_path / "new"
    done = daemon.cli("member", "add", "backup", str(new), "--wait", check=False)
    assert done.returncode == errors.NotPossibleNow.exit_code
    assert "locked" in done.stderr
    assert not new.exists()
    done = daemon.cli("member", "fail", "backup", first, check=False)
    assert done.returncode == errors.NotPossibleNow.exit_code
    assert "twinlock member remove" in done.stderr


def test_one_member_more_than_there_can_be(daemon: Daemon, tmp_path: Path) -> None:
    members = make(daemon, tmp_path)
    path = "/v1/volumes/backup/tasks"
    for number in range(6):
        daemon.api("POST", path, {"task": "member-add", "path": str(tmp_path / f"spare{number}")})
    refused = daemon.api("POST", path, {"task": "member-add", "path": str(tmp_path / "ninth")})
    assert refused["name"] == "NotPossibleNow"
    assert len(configured(daemon)["members"]) == len(members) + 6
    assert not (tmp_path / "ninth").exists()
