"""Every version of metadata: found, read, kept up to date, and torn."""

from itertools import pairwise, product
from typing import Any

import pytest

from tests.unit.block.arrays import Clock
from tests.unit.block.formats import UUID, VERSIONS, make_array, metadata
from twinlock.block.faulty import FaultyDevice
from twinlock.block.memory import MemoryDevice
from twinlock.block.mirror.give_bitmap import give_bitmap, place_for_bitmap
from twinlock.block.mirror.member import Member, MemberState, read_member
from twinlock.block.mirror.metadata.find import read_superblock
from twinlock.block.mirror.metadata.version0 import Version0
from twinlock.block.mirror.mirror import Mirror
from twinlock.block.mirror.superblock import FAILFAST, ROLE_FAULTY, ROLE_SPARE, WRITE_MOSTLY, Feature
from twinlock.block.observer import SilentObserver
from twinlock.errors import ArrayUnsupported, NotAMember
from twinlock.units import KIB, MIB

SIZE = 64 * MIB
NEGATIVE = 1 << 32


def disks(count: int = 2, block_size: int = 512) -> list[MemoryDevice]:
    return [MemoryDevice(SIZE, block_size, path=f"disk{number}") for number in range(count)]


def array(version: str, **options: Any) -> list[MemoryDevice]:
    made = disks()
    make_array(version, made, **options)
    return made


def assemble(*members: MemoryDevice) -> Mirror:
    opened = [read_member(FaultyDevice(member)) for member in members]
    return Mirror.assemble(opened, expected_uuid=UUID, clock=Clock(), observer=SilentObserver())


@pytest.mark.parametrize("version", VERSIONS)
def test_a_member_is_found_whatever_its_version(version: str) -> None:
    for number, disk in enumerate(array(version)):
        member = read_member(disk)
        assert member.metadata.version == version
        assert (member.superblock.role, member.superblock.clean) == (number, True)
        assert member.superblock.header.set_uuid == UUID
        assert member.bitmap is not None
        assert member.image == bytes(disk.read(member.metadata.offset, 4096))


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_written_is_read_again(version: str) -> None:
    made = array(version)
    mirror = assemble(*made)
    mirror.write(5 * MIB, b"x" * 4096)
    mirror.flush()
    for disk in made:
        member = read_member(disk)
        assert not member.superblock.clean
        assert member.bitmap is not None
        assert member.bitmap.marked() == {1}
        assert bytes(member.data.read(5 * MIB, 4096)) == b"x" * 4096


@pytest.mark.parametrize("version", VERSIONS)
def test_a_missing_member_is_called_faulty_and_comes_back(version: str) -> None:
    made = array(version)
    mirror = assemble(made[0])
    mirror.write(0, b"y" * 4096)
    assert read_member(made[0]).superblock.roles[:2] == (0, ROLE_FAULTY)
    mirror = assemble(*made)
    assert mirror.status().members[1].state is MemberState.REBUILDING
    fresh = read_member(made[1]).superblock
    assert fresh.role == (ROLE_SPARE if version == "0.90" else 1), "a half-filled member of 0.90 is a spare"
    others = read_member(made[0]).superblock.roles
    assert others[1] == (ROLE_FAULTY if version == "0.90" else 1), (
        "and its place is called empty by the others"
    )


def test_a_spare_of_0_90_takes_its_place_when_it_is_full() -> None:
    made = array("0.90")
    assemble(made[0]).write(0, b"y" * 4096)
    mirror = assemble(*made)
    for _ in range(50):
        mirror.step()
    assert mirror.status().members[1].state is MemberState.IN_SYNC
    assert [read_member(disk).superblock.roles[:3] for disk in made] == [(0, 1, ROLE_SPARE)] * 2


@pytest.mark.parametrize("version", VERSIONS)
def test_flags_of_a_member_are_kept(version: str) -> None:
    made = array(version, devflags=WRITE_MOSTLY | FAILFAST)
    assemble(*made).write(0, b"y" * 512)
    assert read_member(made[1]).superblock.header.devflags == WRITE_MOSTLY | FAILFAST


def test_words_of_0_90_that_mean_nothing_here_are_kept() -> None:
    made = array("0.90")
    place = read_member(made[0]).metadata.offset
    for disk in made:
        page = bytearray(disk.read(place, 4096))
        page[44] = 7  # md_minor
        page[512 + 4] = 8  # major number of the first device
        total = sum(
            int.from_bytes(page[start : start + 4], "little") for start in range(0, 4096, 4) if start != 152
        )
        page[152:156] = ((total & 0xFFFFFFFF) + (total >> 32)).to_bytes(4, "little")
        disk.write(place, page)
    assemble(*made).write(0, b"y" * 512)
    page = bytearray(made[0].read(place, 4096))
    assert (page[44], page[512 + 4]) == (7, 8)
    assert (page[4096 - 128 + 4], read_member(made[0]).superblock.name) == (8, "7")


def test_devices_of_0_90_with_one_number_are_not_taken_for_copies() -> None:
    made = array("0.90")
    uuids = {read_member(disk).superblock.header.device_uuid for disk in made}
    copy = MemoryDevice(SIZE, path="copy")
    for offset in range(0, SIZE, MIB):
        copy.write(offset, made[0].read(offset, MIB))
    assert len(uuids | {read_member(copy).superblock.header.device_uuid}) == 3


# -- several, none, torn -----------------------------------------------------------------------------


@pytest.mark.parametrize("first", VERSIONS)
@pytest.mark.parametrize("second", VERSIONS)
def test_two_superblocks_are_refused_by_name(first: str, second: str) -> None:
    if first == second:
        return
    made = array(first)
    other = array(second)
    place = read_member(other[0]).metadata.offset
    made[0].write(place, other[0].read(place, 4096))
    with pytest.raises(ArrayUnsupported, match=r"several md superblocks.*zero-superblock") as caught:
        read_member(made[0])
    assert first in str(caught.value)
    assert second in str(caught.value)
    made[0].write(place, b"\xff" * 512 + bytes(made[0].read(place + 512, 3584)))
    assert read_member(made[0]).metadata.version == first


@pytest.mark.parametrize("version", VERSIONS)
def test_a_flipped_byte_anywhere_is_noticed(version: str) -> None:
    disk = array(version)[0]
    place = read_member(disk).metadata.offset
    page = bytes(disk.read(place, 4096))
    for where in range(0, 4096 if version == "0.90" else 512, 37):
        torn = bytearray(page)
        torn[where] ^= 0x40
        disk.write(place, torn)
        with pytest.raises((NotAMember, ArrayUnsupported)):
            read_member(disk)


def _states() -> list[bytes]:
    """Superblocks of the first member of a 0.90 array, through a life: as they followed each other."""
    made, seen = array("0.90"), []
    place = read_member(made[0]).metadata.offset

    def look() -> None:
        seen.append(bytes(made[0].read(place, 4096)))

    look()
    mirror = assemble(*made)
    mirror.write(0, b"z" * 512)
    look()
    mirror = assemble(made[0])
    look()
    mirror.write(0, b"z" * 512)
    look()
    mirror = assemble(*made)
    look()
    for _ in range(50):
        mirror.step()
    look()
    return seen


def test_a_torn_superblock_of_0_90_is_the_old_one_the_new_one_or_none() -> None:
    states = _states()
    for old, new in pairwise(states):
        changed = [
            place for place in range(0, 4096, 512) if old[place : place + 512] != new[place : place + 512]
        ]
        for choice in product((old, new), repeat=len(changed)):
            torn = bytearray(old)
            for place, source in zip(changed, choice, strict=True):
                torn[place : place + 512] = source[place : place + 512]
            _, fault = Version0("0.90", 0, bytes(torn), "torn").parse()
            assert (fault is None) == (bytes(torn) in (old, new))


def test_a_commit_without_a_change_of_members_changes_one_sector_of_0_90() -> None:
    old, new, *_ = _states()
    assert old[:512] != new[:512]
    assert old[512:] == new[512:]


@pytest.mark.parametrize(
    ("offset", "value", "name"),
    [
        (8, 91, "unfinished reshape"),
        (8, 36, "metadata 0.36"),
        (28, 5, "RAID level 5"),
        (132, 0x21, "unknown states 0x20"),
        (512 + 16, 1 << 18, "unknown states of devices"),
    ],
)
def test_what_0_90_has_and_is_not_served_is_named(offset: int, value: int, name: str) -> None:
    disk = array("0.90")[0]
    place = read_member(disk).metadata.offset
    page = bytearray(disk.read(place, 4096))
    page[offset : offset + 4] = value.to_bytes(4, "little")
    page[152:156] = bytes(4)
    total = sum(int.from_bytes(page[start : start + 4], "little") for start in range(0, 4096, 4))
    page[152:156] = ((total & 0xFFFFFFFF) + (total >> 32)).to_bytes(4, "little")
    disk.write(place, page)
    with pytest.raises(ArrayUnsupported, match=name):
        read_superblock(disk, "disk0")


def test_a_big_endian_array_is_named() -> None:
    disk = array("0.90")[0]
    place = read_member(disk).metadata.offset
    page = bytes(disk.read(place, 4096))
    disk.write(place, b"".join(page[start : start + 4][::-1] for start in range(0, 4096, 4)))
    with pytest.raises(NotAMember, match="big-endian"):
        read_member(disk)


# -- bitmaps in other places --------------------------------------------------------------------------


def test_a_bitmap_inside_the_superblocks_4_kib_leaves_both_whole() -> None:
    """1 KiB behind the superblock's beginning is where a bitmap goes that was added while 1.0 had no room."""
    made = array("1.0", bitmap_offset=2, chunk=64 * KIB)
    mirror = assemble(*made)
    for chunk in range(0, 40, 3):
        mirror.write(chunk * 64 * KIB, b"x" * 512)
    member = read_member(made[0])
    assert member.metadata.extent(member.superblock) == 1024
    assert member.bitmap is not None
    assert member.bitmap.marked() == set(range(0, 40, 3))


def test_a_bitmap_that_does_not_fit_the_devices_blocks_is_refused() -> None:
    made = array("1.0", bitmap_offset=2)
    large = MemoryDevice(SIZE, 4096)
    for offset in range(0, SIZE, MIB):
        large.write(offset, made[0].read(offset, MIB))
    with pytest.raises(ArrayUnsupported, match="blocks of 4096 bytes"):
        read_member(large)


@pytest.mark.parametrize("offset", [NEGATIVE - 32, NEGATIVE - (SIZE // 512), 0])
def test_areas_that_overlap_are_no_member(offset: int) -> None:
    disk = array("1.0")[0]
    member = read_member(disk)
    member.store_superblock(member.superblock.change(bitmap_offset=offset))
    with pytest.raises(NotAMember, match="contradicts itself"):
        read_member(disk)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("clean", [True, False])
def test_an_array_without_a_bitmap_is_judged_and_given_one(version: str, clean: bool) -> None:
    made = array(version, bitmap=False, clean=clean)
    with pytest.raises(ArrayUnsupported, match="without an internal bitmap"):
        read_member(made[0])
    members = [read_member(disk, need_bitmap=False) for disk in made]
    assert all(member.bitmap is None for member in members)
    give_bitmap(members, now=1_790_000_100)
    for disk in made:
        bitmap = read_member(disk).bitmap
        assert bitmap is not None
        assert bitmap.marked() == (set() if clean else set(range(bitmap.chunks)))
    assert assemble(*made).status().members[1].state is MemberState.IN_SYNC


@pytest.mark.parametrize(
    ("version", "fields", "expected"),
    [
        ("1.2", {}, (4096, 4096)),
        ("1.2", {"bblog_size": 0, "bblog_offset": 0}, (4096, 128 * KIB)),
        ("1.2", {"bblog_size": 0, "bblog_offset": 0, "data_offset": 24, "data_size": 131048}, None),
        ("1.1", {}, (4096, 4096)),
        ("1.0", {}, (-8192, 4096)),
        ("1.0", {"data_size": (SIZE // 512) - 16 - 0}, (1024, 3072)),
        ("0.90", {}, (4096, 60 * KIB)),
    ],
)
def test_the_place_of_a_new_bitmap_is_mdadms(
    version: str, fields: dict[str, Any], expected: tuple[int, int] | None
) -> None:
    disk = array(version, bitmap=False)[0]
    member: Member = read_member(disk, need_bitmap=False)
    member.superblock = member.superblock.change(**fields)
    assert place_for_bitmap(member) == expected


def test_own_places_follow_the_size_of_the_device() -> None:
    assert metadata("1.0", 1000 * 512).offset == 984 * 512
    assert metadata("0.90", 1000 * KIB).offset == 896 * KIB


def test_a_log_is_announced_while_it_has_entries() -> None:
    assert Feature.BAD_BLOCKS not in read_member(array("1.2")[0]).superblock.features


@pytest.mark.parametrize("version", VERSIONS)
def test_a_new_member_gets_the_version_of_the_others(version: str) -> None:
    made = array(version)
    mirror = assemble(made[0])
    mirror.write(0, b"y" * 4096)
    new = MemoryDevice(SIZE + (4 * MIB if version in ("1.1", "1.2") else 0), path="new")
    mirror.add_member(new)
    for _ in range(100):
        mirror.step()
    assert mirror.status().members[1].state is MemberState.IN_SYNC
    found = read_member(new)
    assert (found.metadata.version, found.superblock.role) == (version, 1)
    assert bytes(found.data.read(0, 4096)) == b"y" * 4096
    assert assemble(made[0], new).status().members[1].state is MemberState.IN_SYNC
