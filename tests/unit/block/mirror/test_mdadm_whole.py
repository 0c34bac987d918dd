"""Stock mdadm reads whole members, superblock and bitmap, in every state, and agrees with what we show."""

import json
import re
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from tests.unit.block.formats import VERSIONS
from tests.unit.block.loops import loops
from tests.unit.block.mirror.members_on import SIZE, Members, crash
from tests.unit.block.mirror.test_mdadm import facts, turned
from twinlock.block.file import FileDevice
from twinlock.block.mirror.member import MemberState, read_member
from twinlock.block.mirror.mirror import Mirror
from twinlock.block.mirror.progress import JobKind
from twinlock.block.mirror.status import ArrayStatus
from twinlock.block.mirror.superblock import CLEAN, Superblock
from twinlock.server.maintenance.context import Context
from twinlock.server.maintenance.listing import list_members
from twinlock.server.messages import VolumeSpec
from twinlock.server.service import Service
from twinlock.units import MIB, SECTOR

HELD = (MemberState.IN_SYNC, MemberState.REBUILDING)
CHUNKS = (1, 3, 4, 9, 12)
"""What is written to: chunks of 4 MiB."""

State = Callable[[Members, Mirror], Mirror]


def write(mirror: Mirror) -> None:
    for chunk in CHUNKS:
        mirror.write(chunk * 4 * MIB + MIB, bytes([chunk]) * (2 * MIB))


def halfway(mirror: Mirror) -> None:
    """Until about the half of a resync is done, which is then under way."""
    while not any(job.kind is JobKind.RESYNC and job.done * 2 >= job.total for job in mirror.status().jobs):
        mirror.step()


def clean(members: Members, mirror: Mirror) -> Mirror:
    members.settle(mirror)
    return mirror


def dirty(_members: Members, mirror: Mirror) -> Mirror:
    return mirror


def stopped(members: Members, mirror: Mirror) -> Mirror:
    mirror.close()
    return members.start()


def degraded(members: Members, mirror: Mirror) -> Mirror:
    mirror.close()
    alone = members.start("left")
    write(alone)
    return alone


def member_failed(members: Members, mirror: Mirror) -> Mirror:
    mirror.fail_member(str(members.paths["right"]))
    write(mirror)
    return mirror


def resyncing(members: Members, mirror: Mirror) -> Mirror:
    crash(mirror)
    again = members.start()
    halfway(again)
    return again


def catching_up(members: Members, mirror: Mirror) -> Mirror:
    degraded(members, mirror).close()
    again = members.start()
    halfway(again)
    return again


def recovering(members: Members, mirror: Mirror) -> Mirror:
    """As after one was taken out and another one put in."""
    mirror.remove_member(str(members.paths["right"]))
    mirror.add_member(FileDevice.open(members.disk("third")))
    members.now += 61
    halfway(mirror)
    return mirror


def replacing(members: Members, mirror: Mirror) -> Mirror:
    mirror.replace_member(str(members.paths["left"]), FileDevice.open(members.disk("third")))
    halfway(mirror)
    return mirror


def replaced(members: Members, mirror: Mirror) -> Mirror:
    members.settle(replacing(members, mirror))
    return mirror


def with_spare(members: Members, mirror: Mirror) -> Mirror:
    mirror.add_member(FileDevice.open(members.disk("third")))
    return mirror


def spare_gone(members: Members, mirror: Mirror) -> Mirror:
    """It was there at the start, and is let go of."""
    with_spare(members, mirror).close()
    again = members.start("left", "right", "third")
    again.remove_member(str(members.paths["third"]))
    return again


def three(members: Members, mirror: Mirror) -> Mirror:
    mirror.set_places(3)
    members.settle(with_spare(members, mirror))
    write(mirror)
    return mirror


def grown(members: Members, mirror: Mirror) -> Mirror:
    for name in ("left", "right"):
        members.enlarge(name, 2 * SIZE)
    mirror.grow()
    return mirror


STATES: tuple[State, ...] = (
    clean,
    dirty,
    stopped,
    degraded,
    member_failed,
    resyncing,
    catching_up,
    recovering,
    replacing,
    replaced,
    with_spare,
    spare_gone,
    three,
    grown,
)
GROWS = ("1.2", "1.1")
"""The others end with their superblock, and stay as long as they are."""
USUAL = ("1.2", 4096)
BRIEFLY = (
    ("0.90", None, recovering),
    ("0.90", None, spare_gone),
    ("0.90", None, with_spare),
    ("1.0", None, member_failed),
)
"""What the short run looks at of the other versions."""


def case(version: str, sector: int | None, state: State) -> Any:
    usual = (version, sector) == USUAL or (version, sector, state) in BRIEFLY
    name = f"{version}-{sector or 'file'}-{state.__name__}"
    return pytest.param(version, sector, state, marks=() if usual else pytest.mark.long, id=name)


CASES = [
    case(version, sector, state)
    for version in VERSIONS
    for sector in (None, 512, 4096)
    for state in STATES
    if state is not grown or version in GROWS
]


@pytest.mark.parametrize(("version", "sector", "state"), CASES)
def test_mdadm_agrees_on_whole_members(
    tmp_path: Path, version: str, sector: int | None, state: State
) -> None:
    with loops(tmp_path) as made:
        members = Members(made, sector)
        members.make(version)
        mirror = members.start()
        write(mirror)
        mirror = state(members, mirror)
        check(members, mirror, version)
        crash(mirror)
        check_locked(members, version)


def check(members: Members, mirror: Mirror, version: str) -> None:
    """Every member that is there is what ``member list --json`` says of it; so is the bitmap."""
    listed, status = listing(members, mirror), mirror.status()
    assert (UUID(listed["array"]).bytes, listed["size"]) == (status.uuid, status.size)
    there = [each for each in listed["found"] if each["state"] in (*HELD, MemberState.SPARE)]
    assert there
    for member in there:
        path = Path(member["path"])
        found, superblock = facts("mdadm", "--examine", str(path)), superblock_on(path)
        expected = common(listed, status, superblock) | (
            version0(listed) if version == "0.90" else version1(listed, status, member, superblock)
        )
        assert {key: found.get(key) for key in expected} == expected
        assert found["Version"].startswith(version)
        assert found["Checksum"].endswith("- correct")
        assert int(found["Array Size"].split()[0]) * 1024 == listed["size"] == superblock.header.size * SECTOR
        if version == "0.90":
            assert table(path) == table_of(listed, member)
        bitmap = facts("mdadm", "--examine-bitmap", str(members.shown(path)))
        uuid = bitmap["UUID"] if version != "0.90" else turned_of(found, bitmap)
        assert uuid == (found["UUID"].split()[0] if version == "0.90" else found["Array UUID"])
        check_bitmap(bitmap, status, member)


def check_locked(members: Members, version: str) -> None:
    """What ``member list --json`` says of a locked volume is what is on its disks."""
    members.hide()
    for member in listing(members, None)["found"]:
        found = facts("mdadm", "--examine", member["path"])
        assert str(member["events"]) == found["Events"]
        seconds = datetime.strptime(found["Update Time"], "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
        assert member["updated"] == seconds.timestamp()
        if version != "0.90":
            assert found["Device UUID"] == words(UUID(member["device_uuid"]).bytes)
        elif member["state"] == "in sync":
            own = table(Path(member["path"]))["this"]
            assert own == (member["dev_number"], member["role"], "active sync")


def listing(members: Members, mirror: Mirror | None) -> dict[str, Any]:
    """What ``member list --json`` shows, of a volume that is open, or locked."""
    spec = VolumeSpec(name="v", members=tuple(map(str, members.paths.values())), target="t", encrypted=False)
    service = None if mirror is None else cast(Service, SimpleNamespace(mirror=mirror))
    with Context(spec, service, wanted=lambda: True, derivation_lock=Path("lock")) as context:
        shown: dict[str, Any] = json.loads(list_members(context).model_dump_json())
    return shown


def superblock_on(path: Path) -> Superblock:
    with closing(FileDevice.open(path, writable=False, exclusive=False)) as device:
        return read_member(device).superblock


def turned_of(found: dict[str, str], bitmap: dict[str, str]) -> str:
    """Whether mdadm knew that the bitmap is one of 0.90, where identifiers are words."""
    given = bitmap["UUID"]
    return given if given == found["UUID"].split()[0] else turned(given)


def words(uuid: bytes) -> str:
    return ":".join(uuid[at : at + 4].hex() for at in range(0, 16, 4))


def common(listed: dict[str, Any], status: ArrayStatus, superblock: Superblock) -> dict[str, str | None]:
    """What every version says alike."""
    resynced = superblock.header.resync_offset == CLEAN
    assert resynced is not status.dirty
    return {
        "Raid Devices": str(listed["places"]),
        "Events": str(status.events),
        "State": "active" if status.dirty else "clean",
        "Raid Level": "raid1",
    }


def version1(
    listed: dict[str, Any], status: ArrayStatus, member: dict[str, Any], superblock: Superblock
) -> dict[str, str | None]:
    held = {each["role"] for each in listed["found"] if each["state"] in HELD}
    letters = "".join("A" if place in held else "." for place in range(listed["places"]))
    filling = member["state"] == MemberState.REBUILDING
    header = superblock.header
    assert bool(header.feature_map & 2) is filling
    return {
        "Array UUID": words(UUID(listed["array"]).bytes),
        "Name": status.name,
        "Device UUID": words(UUID(member["device_uuid"]).bytes),
        "Device Role": "spare" if member["role"] is None else f"Active device {member['role']}",
        "Array State": f"{letters} ('A' == active, '.' == missing, 'R' == replacing)",
        "Feature Map": hex(header.feature_map),
        "Recovery Offset": f"{header.recovery_offset} sectors" if filling else None,
        "Data Offset": f"{header.data_offset} sectors" if header.data_offset else None,
    }


def version0(listed: dict[str, Any]) -> dict[str, str | None]:
    """Who is being filled is a spare there; a place that nobody fills is a device that failed."""
    states = [each["state"] for each in listed["found"]]
    in_sync = states.count(MemberState.IN_SYNC)
    waiting = states.count(MemberState.REBUILDING) + states.count(MemberState.SPARE)
    return {
        "UUID": words(UUID(listed["array"]).bytes),
        "Active Devices": str(in_sync),
        "Spare Devices": str(waiting),
        "Working Devices": str(in_sync + waiting),
        "Failed Devices": str(listed["places"] - in_sync),
    }


LINE = re.compile(r"^\s*(this|\d+)\s+(\d+)\s+\d+\s+\d+\s+(-?\d+)\s+(\w+(?: \w+)?)", re.MULTILINE)


def table(path: Path) -> dict[str, tuple[int, int, str]]:
    """The table of 0.90: number, place and state by line."""
    done = subprocess.run(["mdadm", "--examine", path], check=True, capture_output=True, text=True)
    return {
        which: (int(number), int(place), state) for which, number, place, state in LINE.findall(done.stdout)
    }


def table_of(listed: dict[str, Any], member: dict[str, Any]) -> dict[str, tuple[int, int, str]]:
    """As it has to be: places first, then those that wait, by numbers of their own."""
    places = listed["places"]
    whole = {each["role"] for each in listed["found"] if each["state"] == MemberState.IN_SYNC}
    waiting = sum(each["state"] in (MemberState.REBUILDING, MemberState.SPARE) for each in listed["found"])
    lines = {
        str(place): (place, place, "active sync" if place in whole else "faulty removed")
        for place in range(places)
    }
    lines |= {str(number): (number, number, "spare") for number in range(places, places + waiting)}
    own = member["role"] if member["role"] in whole else places
    return lines | {"this": lines[str(own)]}


def check_bitmap(found: dict[str, str], status: ArrayStatus, member: dict[str, Any]) -> None:
    """That of a member with a place is true; that of a spare says of itself that it is not."""
    chunks = -(-status.size // status.chunk_size)
    assert int(found["Sync Size"].split()[0]) * 1024 == status.size
    assert found["Chunksize"] == f"{status.chunk_size // MIB} MB"
    if member["state"] == MemberState.SPARE:
        assert (found["State"], found["Events"]) == ("Out of date", "0")
        return
    dirty_share = 100 * status.marked_chunks / chunks
    assert found["State"] == "OK"
    assert int(found["Events"]) == status.events
    assert int(found["Events Cleared"]) <= status.events
    assert found["Bitmap"] == f"{chunks} bits (chunks), {status.marked_chunks} dirty ({dirty_share:.1f}%)"


def test_a_file_is_no_place_where_mdadm_looks_for_a_members_bitmap(tmp_path: Path) -> None:
    """Why members that are files are shown to it as disks; nothing is wrong with the member."""
    with loops(tmp_path) as made:
        members = Members(made, None)
        members.make("1.2")
        with pytest.raises(AssertionError, match="invalid bitmap magic"):
            facts("mdadm", "--examine-bitmap", str(members.paths["left"]))
        assert facts("mdadm", "--examine-bitmap", str(members.shown(members.paths["left"])))["State"] == "OK"
