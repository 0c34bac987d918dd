"""What stock mdadm says of every member agrees with our own view, in each state that a change leaves."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.unit.block.formats import VERSIONS, make_array
from tests.unit.block.mirror.changes.test_grow import SIZE, Files
from tests.unit.block.mirror.test_mdadm import facts, turned
from twinlock.block.file import FileDevice
from twinlock.block.mirror.layout import BLOCK
from twinlock.block.mirror.member import MemberState, read_member
from twinlock.block.mirror.mirror import Mirror
from twinlock.block.mirror.status import ArrayStatus, MemberStatus
from twinlock.units import MIB

HELD = (MemberState.IN_SYNC, MemberState.REBUILDING)


def third(files: Files) -> FileDevice:
    return FileDevice.open(files.paths[0].with_name("third"), size=SIZE)


def nothing(_files: Files, _mirror: Mirror) -> None:
    """It was written to."""


def spare(files: Files, mirror: Mirror) -> None:
    mirror.add_member(third(files))


def spare_of_one_that_goes_on(files: Files, mirror: Mirror) -> None:
    spare(files, mirror)
    files.settle(mirror)
    mirror.write(40 * MIB, b"x" * BLOCK)
    files.settle(mirror)


def failed(_files: Files, mirror: Mirror) -> None:
    mirror.fail_member(mirror.status().members[1].path or "")


def recovering(files: Files, mirror: Mirror) -> None:
    failed(files, mirror)
    mirror.add_member(third(files))


def catching_up(files: Files, mirror: Mirror) -> None:
    failed(files, mirror)
    mirror.write(30 * MIB, b"x" * BLOCK)
    mirror.add_member(FileDevice.open(files.paths[1]))


def caught_up(files: Files, mirror: Mirror) -> None:
    catching_up(files, mirror)
    files.settle(mirror)


def three(files: Files, mirror: Mirror) -> None:
    mirror.set_places(3)
    mirror.add_member(third(files))
    files.settle(mirror)


def back_to_two(files: Files, mirror: Mirror) -> None:
    three(files, mirror)
    mirror.remove_member(str(files.paths[0]))
    mirror.set_places(2)


def replacing(files: Files, mirror: Mirror) -> None:
    mirror.replace_member(str(files.paths[0]), third(files))


def replaced(files: Files, mirror: Mirror) -> None:
    replacing(files, mirror)
    files.settle(mirror)


CHANGES = [
    nothing,
    spare,
    spare_of_one_that_goes_on,
    failed,
    recovering,
    catching_up,
    caught_up,
    three,
    back_to_two,
    replacing,
    replaced,
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_mdadm_agrees(tmp_path: Path, version: str, change: Callable[[Files, Mirror], None]) -> None:
    files = Files(tmp_path)
    if version != "1.2":
        made_by_mdadm(files, version)
    mirror = files.start()
    mirror.write(20 * MIB, b"x" * BLOCK)
    change(files, mirror)
    check(files, mirror, version)


@pytest.mark.parametrize("with_spare", [False, True])
def test_mdadm_agrees_on_what_grew(tmp_path: Path, with_spare: bool) -> None:
    files = Files(tmp_path)
    mirror = files.start()
    mirror.write(20 * MIB, b"x" * BLOCK)
    if with_spare:
        mirror.add_member(FileDevice.open(files.paths[0].with_name("third"), size=2 * SIZE))
    files.enlarge(2 * SIZE)
    mirror.grow()
    check(files, mirror, "1.2")


def made_by_mdadm(files: Files, version: str) -> None:
    members = []
    for path in files.paths:
        path.unlink()
        members.append(FileDevice.open(path, size=SIZE))
    make_array(version, members, now=int(files.clock.now))
    for member in members:
        member.close()


def check(files: Files, mirror: Mirror, version: str) -> None:
    status = mirror.status()
    there = [each for each in status.members if each.state in (*HELD, MemberState.SPARE)]
    for member in there:
        found = facts("mdadm", "--examine", str(member.path))
        assert found["Version"].startswith(version)
        assert found["Checksum"].endswith("- correct")
        assert found["Raid Devices"] == str(status.places)
        assert int(found["Events"]) == status.events
        assert found["State"] == ("active" if status.dirty else "clean")
        (check_table0 if version == "0.90" else check_table1)(found, member, status)
        check_bitmap(files, member, status, version)
        with closing(FileDevice.open(member.path or "", writable=False, exclusive=False)) as device:
            ours = read_member(device)
        if version != "0.90":
            assert ours.superblock.header.device_uuid == member.device_uuid
        assert ours.superblock.header.size * 512 == status.size
    mirror.close()


def check_table1(found: dict[str, str], member: MemberStatus, status: ArrayStatus) -> None:
    assert int(found["Array Size"].split()[0]) * 1024 == status.size
    assert found["Device Role"] == ("spare" if member.role is None else f"Active device {member.role}")
    held = {each.role for each in status.members if each.state in HELD}
    letters = "".join("A" if place in held else "." for place in range(status.places))
    assert found["Array State"].startswith(letters + " ")
    filling = member.state is MemberState.REBUILDING
    assert (int(found["Feature Map"], 16) & 2 != 0) is filling
    assert (int(found["Feature Map"], 16) & 1) == 1


def check_table0(found: dict[str, str], member: MemberStatus, status: ArrayStatus) -> None:
    """Who is being filled is a spare there."""
    states = [each.state for each in status.members]
    in_sync = states.count(MemberState.IN_SYNC)
    waiting = states.count(MemberState.REBUILDING) + states.count(MemberState.SPARE)
    assert int(found["Array Size"].split()[0]) * 1024 == status.size
    assert int(found["Active Devices"]) == in_sync
    assert int(found["Working Devices"]) == in_sync + waiting
    assert int(found["Spare Devices"]) == waiting


def check_bitmap(files: Files, member: MemberStatus, status: ArrayStatus, version: str) -> None:
    """That of a member with a place is true; that of a spare says of itself that it is not."""
    found = examine_bitmap(files, member.path or "")
    uuid = facts("mdadm", "--examine", str(member.path)).get("Array UUID")
    if version != "0.90":
        assert found["UUID"] == uuid
    else:
        assert turned(found["UUID"]) == facts("mdadm", "--examine", str(member.path))["UUID"].split()[0]
    assert int(found["Sync Size"].split()[0]) * 1024 == status.size
    if member.state is MemberState.SPARE:
        assert (found["State"], found["Events"]) == ("Out of date", "0")
        return
    assert found["State"] == "OK"
    assert int(found["Events"]) == status.events
    assert int(found["Events Cleared"]) <= status.events
    assert f", {status.marked_chunks} dirty" in found["Bitmap"]


def examine_bitmap(files: Files, path: str) -> dict[str, str]:
    """mdadm reads bitmaps from block devices and from bitmap files; the area, cut out, is one."""
    cut = files.paths[0].with_name("bitmap")
    with closing(FileDevice.open(path, writable=False, exclusive=False)) as device:
        start = read_member(device).bitmap_start
    with Path(path).open("rb") as member:
        member.seek(start)
        cut.write_bytes(member.read(BLOCK))
    return facts("mdadm", "--examine-bitmap", str(cut))
