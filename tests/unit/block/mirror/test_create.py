import subprocess
from pathlib import Path
from random import Random

import pytest

from tests.unit.block.arrays import BLOCK, SIZE, UUID, make, media
from twinlock.block.device import BlockDevice
from twinlock.block.faulty import FaultyDevice
from twinlock.block.file import FileDevice
from twinlock.block.memory import MemoryDevice
from twinlock.block.mirror.layout import BITMAP_OFFSET, member_layout, minimum_member_size
from twinlock.block.mirror.member import read_member
from twinlock.block.signatures import probe_all
from twinlock.errors import MemberTooSmall, NotAMember
from twinlock.units import MIB


def test_superblocks_come_last_and_each_step_is_flushed() -> None:
    disks = [FaultyDevice(medium) for medium in media()]
    make(disks)
    for disk in disks:
        assert disk.unflushed == 0
        kinds = [(kind, offset) for kind, offset, _ in disk.operations if kind != "r"]
        assert kinds[-2:] == [("w", 4096), ("f", 0)]
        bitmap = kinds.index(("w", BITMAP_OFFSET))
        assert "f" in [kind for kind, _ in kinds[:bitmap]]
        table = member_layout(SIZE).data_offset - BLOCK
        assert kinds[-3] in (("f", 0), ("w", table))  # the table's header, durable, is the last before it


class PowerCut(Exception):
    """The machine stops."""


def cut_at(operation: int, random: Random) -> BlockDevice | None:
    """A disk that had another array, cut off before this operation of a new one's making; None: it ended."""
    disk = FaultyDevice(media(1)[0])
    make([disk.lower], uuid=b"o" * 16)

    def tick(_kind: str, _offset: int, _length: int) -> None:
        if len(disk.operations) == operation:
            raise PowerCut

    disk.hook = tick
    try:
        make([disk])
    except PowerCut:
        return disk.power_cut(lambda _index: random.random() < 0.7)
    return None


def test_a_crash_in_the_middle_leaves_no_member_or_a_whole_one() -> None:
    random, operation = Random(1), 0
    while (left := cut_at(operation, random)) is not None:
        operation += 1
        try:
            member = read_member(left)
        except NotAMember:
            continue
        if member.superblock.header.set_uuid == UUID:
            assert member.bitmap is not None
            assert member.bitmap.marked() == set()
    assert operation > 6


def test_too_small_a_member_is_named_and_nothing_is_written() -> None:
    least = minimum_member_size()
    disks = [MemoryDevice(least), MemoryDevice(MIB, path="small")]
    with pytest.raises(
        MemberTooSmall, match=r"small has 1\.0 MiB; a member of this volume needs at least 3\.0 MiB"
    ):
        make(disks)
    assert not any(bytes(disks[0].read(0, least)))
    with pytest.raises(MemberTooSmall):
        make([MemoryDevice(least - 4096)])
    make([MemoryDevice(least)])


def test_members_of_different_sizes_have_their_own_data_offsets() -> None:
    disks = [MemoryDevice(64 * MIB, BLOCK), MemoryDevice(1024 * MIB, BLOCK)]
    make(disks)
    small, large = (read_member(disk).superblock.header for disk in disks)
    assert small.size == large.size == member_layout(64 * MIB).data_size // 512
    assert (small.data_offset, large.data_offset) == (2 * MIB // 512, 6 * MIB // 512)
    assert large.data_size == member_layout(1024 * MIB).data_size // 512


def test_old_signatures_are_gone(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    with path.open("wb") as image:
        image.truncate(SIZE)
    subprocess.run(["mkfs.ext4", "-q", str(path)], check=True)
    with path.open("r+b") as image:
        image.seek(SIZE - 64 * 1024)
        image.write(bytes.fromhex("fc4e2ba9"))  # the magic number of md metadata 0.90
    assert {found.type for found in probe_all(str(path))} >= {"ext4"}
    device = FileDevice.open(path)
    make([device])
    device.close()
    assert [found.type for found in probe_all(str(path))] == ["linux_raid_member"]


def test_metadata_areas_of_files_are_allocated_and_data_is_not(tmp_path: Path) -> None:
    device = FileDevice.open(tmp_path / "disk", size=256 * MIB)
    make([device])
    used = (tmp_path / "disk").stat().st_blocks * 512
    place = member_layout(256 * MIB)
    assert place.table_end <= used < place.table_end + 2 * MIB
    device.close()


def test_the_array_is_what_was_asked_for() -> None:
    disks = media(1)
    make(disks, assume_clean=False)
    member = read_member(disks[0])
    assert member.superblock.header.set_uuid == UUID
    assert not member.superblock.clean
    assert member.bitmap is not None
    assert member.bitmap.marked() == set(range(member.bitmap.chunks))
    with pytest.raises(ValueError, match="UUID of its own"):
        make([])
