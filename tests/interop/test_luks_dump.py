"""What ``cryptsetup luksDump`` shows is what ``twinlock key list`` shows, in every state of a header."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import foreign
from tests.support.daemon import Daemon

CHEAP = ("--iter-time", "0")
HEADER = 16 << 20
KIB = 1024
MAGIC = b"LUKS\xba\xbe"
LUKS1_SLOT = re.compile(r"Key Slot (\d): (ENABLED|DISABLED)(?:\s+Iterations:\s+(\d+))?")


@dataclass(frozen=True)
class Slot:
    """A keyslot, as both show it; memory in bytes."""

    kdf: str
    iterations: int
    memory: int
    threads: int
    bound: bool
    ignored: bool


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    for name in ("one", "two", "three"):
        (tmp_path / name).write_text(name)
    (tmp_path / "file").write_bytes(os.urandom(1000))
    with Daemon(tmp_path / "root") as running:
        yield running


def key(daemon: Daemon, name: str, option: str = "--passphrase-file") -> tuple[str, str]:
    return option, str(daemon.root.parent / name)


def dump(container: Path, *options: str) -> str:
    done = subprocess.run(
        ["cryptsetup", "luksDump", *options, container], check=True, capture_output=True, text=True
    )
    return done.stdout


def extracted(member: Path) -> Path:
    """The container that a member holds, in a file of its own, as long as it was."""
    target = member.with_suffix(".container")
    with member.open("rb") as source:
        start = source.read(4 * HEADER).index(MAGIC)
        source.seek(start)
        target.write_bytes(source.read(HEADER))
    os.truncate(target, member.stat().st_size - start)
    return target


def by_cryptsetup(container: Path) -> tuple[str, dict[int, Slot]]:
    shown = dump(container)
    uuid = re.search(r"UUID:\s+(\S+)", shown)
    assert uuid is not None
    is_luks1 = re.search(r"Version:\s+1\b", shown)
    return uuid[1], _slots_1(shown) if is_luks1 else _slots_2(
        json.loads(dump(container, "--dump-json-metadata"))
    )


def _slots_1(shown: str) -> dict[int, Slot]:
    used = [found for found in LUKS1_SLOT.findall(shown) if found[1] == "ENABLED"]
    return {int(number): Slot("pbkdf2", int(rounds), 0, 0, True, False) for number, _, rounds in used}


def _slots_2(metadata: dict[str, Any]) -> dict[int, Slot]:
    bound = {
        number for each in metadata["digests"].values() if each["segments"] for number in each["keyslots"]
    }
    return {
        int(number): Slot(
            slot["kdf"]["type"],
            slot["kdf"].get("time", slot["kdf"].get("iterations")),
            slot["kdf"].get("memory", 0) * KIB,
            slot["kdf"].get("cpus", 0),
            number in bound,
            slot.get("priority") == 0,
        )
        for number, slot in metadata["keyslots"].items()
    }


def by_twinlock(daemon: Daemon, name: str) -> tuple[str, dict[int, Slot]]:
    shown = json.loads(daemon.cli("key", "list", name, "--json").stdout)
    fields = Slot.__dataclass_fields__
    return shown["uuid"], {
        each["number"]: Slot(**{field: each[field] for field in fields}) for each in shown["keys"]
    }


def check(daemon: Daemon, name: str, members: list[Path], numbers: set[int]) -> None:
    """All members agree with what is listed, which is these keyslots."""
    listed = by_twinlock(daemon, name)
    assert set(listed[1]) == numbers
    for member in members:
        assert by_cryptsetup(extracted(member)) == listed, member


def test_of_a_degraded_volume_with_a_second_key_that_is_changed(daemon: Daemon, tmp_path: Path) -> None:
    """The short form of what follows."""
    members = [tmp_path / f"disk{number}.img" for number in range(2)]
    first = key(daemon, "one")
    daemon.cli("create", "v", *map(str, members), "--size", "64M", *first, *CHEAP, "--chap", "none")
    daemon.cli("key", "add", "v", *first, *key(daemon, "file", "--new-key-file"), *CHEAP)
    check(daemon, "v", members, {0, 1})
    daemon.cli("member", "remove", "v", str(members[1]))
    daemon.cli("key", "change", "v", *first, *key(daemon, "two", "--new-passphrase-file"), *CHEAP)
    check(daemon, "v", members[:1], {0, 1})


@pytest.mark.long
def test_in_every_state_of_a_volume(daemon: Daemon, tmp_path: Path) -> None:
    members = [tmp_path / f"disk{number}.img" for number in range(2)]
    first = key(daemon, "one")
    daemon.cli("create", "v", *map(str, members), "--size", "64M", *first, *CHEAP, "--chap", "none")
    check(daemon, "v", members, {0})
    daemon.cli("key", "add", "v", *first, *key(daemon, "file", "--new-key-file"), *CHEAP)
    check(daemon, "v", members, {0, 1})
    daemon.cli("header", "backup", "v", str(tmp_path / "backup"))
    daemon.cli("key", "add", "v", *first, *key(daemon, "two", "--new-passphrase-file"), "--iter-time", "50")
    check(daemon, "v", members, {0, 1, 2})
    daemon.cli("key", "change", "v", *first, *key(daemon, "three", "--new-passphrase-file"), *CHEAP)
    check(daemon, "v", members, {0, 1, 2})
    daemon.cli("key", "remove", "v", "1")
    check(daemon, "v", members, {0, 2})
    daemon.cli("grow", "v", "--size", "96M")
    check(daemon, "v", members, {0, 2})
    daemon.cli("lock", "v")
    check(daemon, "v", members, {0, 2})
    daemon.cli("header", "restore", "v", str(tmp_path / "backup"))
    check(daemon, "v", members, {0, 1})
    daemon.cli("member", "remove", "v", str(members[1]))
    daemon.cli("key", "remove", "v", "1")
    check(daemon, "v", members[:1], {0})
    daemon.cli("member", "add", "v", str(members[1]), "--force")
    daemon.cli("unlock", "v", *first)
    daemon.cli("lock", "v")
    check(daemon, "v", members[:1], {0})


@pytest.mark.long
@pytest.mark.parametrize("version", [1, 2])
def test_of_what_cryptsetup_made(daemon: Daemon, tmp_path: Path, version: int) -> None:
    disk = foreign.luks(tmp_path / "disk", tmp_path / "one", version=version)
    daemon.cli("import", str(disk), "--name", "v", "--yes", *key(daemon, "one"), "--chap", "none")
    check(daemon, "v", [disk], {0})
    daemon.cli("key", "add", "v", *key(daemon, "one"), *key(daemon, "file", "--new-key-file"), *CHEAP)
    check(daemon, "v", [disk], {0, 1})
    changed = key(daemon, "two", "--new-passphrase-file")
    daemon.cli("key", "change", "v", *key(daemon, "one"), *changed, *CHEAP)
    check(daemon, "v", [disk], {0, 1} if version == 2 else {1, 2})
    daemon.cli("key", "remove", "v", "1")
    check(daemon, "v", [disk], {0} if version == 2 else {2})
