"""Stock mdadm reads whole members, superblock and bitmap, in every state, and agrees with our own view."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.unit.block.formats import VERSIONS
from tests.unit.block.loops import loops
from tests.unit.block.mirror.members_on import SIZE, Members, crash
from tests.unit.block.mirror.test_mdadm import facts, turned
from twinlock.block.file import FileDevice
from twinlock.block.mirror.member import MemberState, read_member
from twinlock.block.mirror.mirror import Mirror
from twinlock.block.mirror.progress import JobKind
from twinlock.block.mirror.status import ArrayStatus, MemberStatus
from twinlock.block.mirror.superblock import CLEAN, Superblock
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
    three,
    grown,
)
GROWS = ("1.2", "1.1")
"""The others end with their superblock, and stay as long as they are."""
USUAL = ("1.2", 4096)


def cases() -> Iterator[Any]:
    for version in VERSIONS:
        for sector in (None, 512, 4096):
            for state in STATES:
                if state is grown and version not in GROWS:
                    continue
                marks = () if (version, sector) == USUAL else (pytest.mark.long,)
                name = f"{version}-{sector or 'file'}-{state.__name__}"
                yield pytest.param(version, sector, state, marks=marks, id=name)


@pytest.mark.parametrize(("version", "sector", "state"), cases())
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


def check(members: Members, mirror: Mirror, version: str) -> None:
    status = mirror.status()
    there = [each for each in status.members if each.state in (*HELD, MemberState.SPARE)]
    assert there
    for member in there:
        path = Path(member.path or "")
        with closing(FileDevice.open(path, writable=False, exclusive=False)) as device:
            superblock = read_member(device).superblock
        found = facts("mdadm", "--examine", str(path))
        expected = common(status, superblock) | (
            version0(status) if version == "0.90" else version1(status, member, superblock)
        )
        assert {key: found.get(key) for key in expected} == expected
        assert found["Version"].startswith(version)
        assert found["Checksum"].endswith("- correct")
        assert int(found["Array Size"].split()[0]) * 1024 == status.size == superblock.header.size * SECTOR
        bitmap = facts("mdadm", "--examine-bitmap", str(members.shown(path)))
        uuid = bitmap["UUID"] if version != "0.90" else turned_of(found, bitmap)
        assert uuid == (found["UUID"].split()[0] if version == "0.90" else found["Array UUID"])
        check_bitmap(bitmap, status, member)


def turned_of(found: dict[str, str], bitmap: dict[str, str]) -> str:
    """Whether mdadm knew that the bitmap is one of 0.90, where identifiers are words."""
    given = bitmap["UUID"]
    return given if given == found["UUID"].split()[0] else turned(given)


def words(uuid: bytes) -> str:
    return ":".join(uuid[at : at + 4].hex() for at in range(0, 16, 4))


def common(status: ArrayStatus, superblock: Superblock) -> dict[str, str | None]:
    """What every version says alike."""
    resynced = superblock.header.resync_offset == CLEAN
    assert resynced is not status.dirty
    return {
        "Raid Devices": str(status.places),
        "Events": str(status.events),
        "State": "active" if status.dirty else "clean",
        "Raid Level": "raid1",
    }


def version1(status: ArrayStatus, member: MemberStatus, superblock: Superblock) -> dict[str, str | None]:
    held = {each.role for each in status.members if each.state in HELD}
    letters = "".join("A" if place in held else "." for place in range(status.places))
    filling = member.state is MemberState.REBUILDING
    header = superblock.header
    assert bool(header.feature_map & 2) is filling
    return {
        "Array UUID": words(status.uuid),
        "Name": status.name,
        "Device UUID": words(member.device_uuid or b""),
        "Device Role": "spare" if member.role is None else f"Active device {member.role}",
        "Array State": f"{letters} ('A' == active, '.' == missing, 'R' == replacing)",
        "Feature Map": hex(header.feature_map),
        "Recovery Offset": f"{header.recovery_offset} sectors" if filling else None,
        "Data Offset": f"{header.data_offset} sectors" if header.data_offset else None,
    }


def version0(status: ArrayStatus) -> dict[str, str | None]:
    """Who is being filled is a spare there."""
    states = [each.state for each in status.members]
    return {
        "UUID": words(status.uuid),
        "Active Devices": str(states.count(MemberState.IN_SYNC)),
    }


def check_bitmap(found: dict[str, str], status: ArrayStatus, member: MemberStatus) -> None:
    """That of a member with a place is true; that of a spare says of itself that it is not."""
    chunks = -(-status.size // status.chunk_size)
    assert int(found["Sync Size"].split()[0]) * 1024 == status.size
    assert found["Chunksize"] == f"{status.chunk_size // MIB} MB"
    if member.state is MemberState.SPARE:
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
