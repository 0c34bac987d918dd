"""What stock mdadm says of a member, in every state."""

import re
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.block.formats import VERSIONS, make_array
from twinlock.block.file import FileDevice
from twinlock.block.mirror.create import create_array
from twinlock.block.mirror.member import read_member
from twinlock.block.mirror.mirror import IDLE, Mirror
from twinlock.block.observer import SilentObserver
from twinlock.units import MIB

UUID = bytes(range(16))
NOW = 1_790_000_000


class Files:
    """An array of two files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paths = [folder / "left", folder / "right"]
        self.now = float(NOW)
        self.devices: list[FileDevice] = []

    def create(self, *, assume_clean: bool = True) -> None:
        members = [FileDevice.open(path, size=128 * MIB) for path in self.paths]
        create_array(
            members,
            array_uuid=UUID,
            device_uuids=[b"L" * 16, b"R" * 16],
            name="host:backup",
            now=NOW,
            assume_clean=assume_clean,
        )
        for member in members:
            member.close()

    def start(self, *indices: int) -> Mirror:
        self.devices = [FileDevice.open(self.paths[index]) for index in indices or (0, 1)]
        members = [read_member(device) for device in self.devices]
        return Mirror.assemble(members, expected_uuid=UUID, clock=lambda: self.now, observer=SilentObserver())

    def abandon(self) -> None:
        for device in self.devices:
            device.close()

    def examine(self, index: int) -> dict[str, str]:
        return facts("mdadm", "--examine", str(self.paths[index]))

    def examine_bitmap(self, index: int) -> dict[str, str]:
        """mdadm reads bitmaps from block devices and from bitmap files; the area, cut out, is one."""
        cut = self.folder / "bitmap"
        with closing(FileDevice.open(self.paths[index], writable=False, exclusive=False)) as device:
            start = read_member(device).bitmap_start
        with self.paths[index].open("rb") as member:
            member.seek(start)
            cut.write_bytes(member.read(4096))
        return facts("mdadm", "--examine-bitmap", str(cut))


def facts(*command: str) -> dict[str, str]:
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env={"TZ": "UTC", "PATH": "/usr/sbin:/sbin:/usr/bin:/bin"},
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    lines = (line.partition(" : ") for line in done.stdout.splitlines())
    return {key.strip(): value.strip() for key, separator, value in lines if separator}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def created(files: Files) -> None:
    files.create()


def written_and_closed(files: Files) -> None:
    files.create()
    mirror = files.start()
    mirror.write(0, bytes(4096))
    mirror.close()


def abandoned(files: Files) -> None:
    files.create()
    files.start().write(20 * MIB, b"x" * 8 * MIB)
    files.abandon()


def to_be_built(files: Files) -> None:
    files.create(assume_clean=False)


def built(files: Files) -> None:
    files.create(assume_clean=False)
    mirror = files.start()
    while mirror.step() < IDLE:
        pass
    mirror.close()


def degraded(files: Files) -> None:
    files.create()
    mirror = files.start(0)
    mirror.write(0, b"x" * 4096)
    mirror.close()


def catching_up(files: Files) -> None:
    degraded(files)
    files.start()
    files.abandon()


def caught_up(files: Files) -> None:
    degraded(files)
    mirror = files.start()
    mirror.step()
    while mirror.step() < IDLE:
        pass
    mirror.close()


STATES: dict[Callable[[Files], None], tuple[str, str, tuple[str, str], int]] = {
    created: ("clean", "AA", ("0x1", "0x1"), 0),
    written_and_closed: ("clean", "AA", ("0x1", "0x1"), 0),
    abandoned: ("active", "AA", ("0x1", "0x1"), 2),
    to_be_built: ("active", "AA", ("0x1", "0x1"), 32),
    built: ("clean", "AA", ("0x1", "0x1"), 0),
    degraded: ("clean", "A.", ("0x1", "0x1"), 1),
    catching_up: ("clean", "AA", ("0x1", "0x83"), 1),
    caught_up: ("clean", "AA", ("0x1", "0x1"), 0),
}


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_mdadm_agrees(files: Files, state: Callable[[Files], None]) -> None:
    state(files)
    condition, members, features, dirty = STATES[state]
    for index in range(1 if state is degraded else 2):
        found = files.examine(index)
        with closing(FileDevice.open(files.paths[index], writable=False, exclusive=False)) as device:
            ours = read_member(device).superblock
        assert found["State"] == condition
        assert found["Checksum"].endswith("- correct")
        assert found["Array State"].startswith(members)
        assert found["Device Role"] == f"Active device {index}"
        assert found["Feature Map"] == features[index]
        assert found["Events"] == str(ours.header.events)
        assert found["Array UUID"] == "00010203:04050607:08090a0b:0c0d0e0f"
        bitmap = files.examine_bitmap(index)
        assert bitmap["UUID"] == found["Array UUID"]
        assert (bitmap["Version"], bitmap["State"], bitmap["Chunksize"]) == ("4", "OK", "4 MB")
        assert int(bitmap["Events"]) == ours.header.events
        assert int(bitmap["Events Cleared"]) <= ours.header.events
        assert bitmap["Bitmap"].startswith(f"32 bits (chunks), {dirty} dirty")


def test_what_mdadm_says_of_a_new_member(files: Files) -> None:
    files.create()
    found = files.examine(1)
    expected = {
        "Version": "1.2",
        "Name": "host:backup",
        "Creation Time": "Mon Sep 21 14:13:20 2026",
        "Raid Level": "raid1",
        "Raid Devices": "2",
        "Avail Dev Size": "258048 sectors (126.00 MiB 132.12 MB)",
        "Array Size": "129024 KiB (126.00 MiB 132.12 MB)",
        "Data Offset": "4096 sectors",
        "Super Offset": "8 sectors",
        "Internal Bitmap": "8 sectors from superblock",
        "Device UUID": "52525252:52525252:52525252:52525252",
        "Events": "1",
    }
    assert {key: re.sub(r"\s+", " ", found[key]) for key in expected} == expected
    assert not {"Flags", "Bad Block Log", "Recovery Offset", "Reshape pos'n"} & found.keys()


def test_a_member_that_is_behind_is_behind_by_more_than_mdadm_forgives(files: Files) -> None:
    degraded(files)
    assert int(files.examine(0)["Events"]) >= int(files.examine(1)["Events"]) + 2


# -- arrays of mdadm's own making -----------------------------------------------------------------------


def made_by_mdadm(files: Files, version: str) -> None:
    """Superblocks and bitmaps as mdadm writes them."""
    members = [FileDevice.open(path, size=128 * MIB) for path in files.paths]
    make_array(version, members, now=NOW)
    for member in members:
        member.close()


def running(files: Files) -> None:
    files.start().write(20 * MIB, b"x" * 8 * MIB)
    files.abandon()


def stopped(files: Files) -> None:
    mirror = files.start()
    mirror.write(0, bytes(4096))
    mirror.close()


def alone(files: Files) -> None:
    mirror = files.start(0)
    mirror.write(0, b"x" * 4096)
    mirror.close()


def refilled(files: Files) -> None:
    alone(files)
    mirror = files.start()
    for _ in range(100):
        mirror.step()
    mirror.close()


LIVES: dict[Callable[[Files], None], tuple[str, str, int]] = {
    running: ("active", "AA", 2),
    stopped: ("clean", "AA", 0),
    alone: ("clean", "A.", 1),
    refilled: ("clean", "AA", 0),
}


def turned(uuid: str) -> str:
    """Of a bitmap alone mdadm does not know that it is one of 0.90, where identifiers are words."""
    return ":".join(bytes.fromhex(word)[::-1].hex() for word in uuid.split(":"))


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.__name__)
@pytest.mark.parametrize("version", VERSIONS)
def test_mdadm_agrees_on_every_version(files: Files, version: str, life: Callable[[Files], None]) -> None:
    made_by_mdadm(files, version)
    life(files)
    condition, members, dirty = LIVES[life]
    for index in range(1 if life is alone else 2):
        found = files.examine(index)
        with closing(FileDevice.open(files.paths[index], writable=False, exclusive=False)) as device:
            ours = read_member(device).superblock
        uuid = found.get("Array UUID") or found["UUID"].split()[0]
        assert found["Version"].startswith(version)
        assert found["State"] == condition
        assert found["Checksum"].endswith("- correct")
        assert found["Events"] == str(ours.header.events)
        assert uuid == "00010203:04050607:08090a0b:0c0d0e0f"
        bitmap = files.examine_bitmap(index)
        assert (bitmap["UUID"], bitmap["State"]) == (turned(uuid) if version == "0.90" else uuid, "OK")
        assert int(bitmap["Events"]) == ours.header.events
        assert f", {dirty} dirty" in bitmap["Bitmap"]
        if version == "0.90":
            assert found["Active Devices"] == str(members.count("A"))
            assert found["Failed Devices"] == str(members.count("."))
        else:
            assert found["Array State"].startswith(members)
