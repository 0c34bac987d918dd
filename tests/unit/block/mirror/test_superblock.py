from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.block.arrays import SIZE, make, media
from twinlock.block.device import BlockDevice
from twinlock.block.memory import MemoryDevice
from twinlock.block.mirror.metadata import find
from twinlock.block.mirror.superblock import (
    MAGIC,
    Feature,
    Superblock,
    checksum,
    format_uuid,
)
from twinlock.errors import ArrayUnsupported, NotAMember
from twinlock.units import KIB


def read_superblock(device: BlockDevice, path: str) -> Superblock:
    return find.read_superblock(device, path).superblock


def member() -> tuple[MemoryDevice, Superblock]:
    disks = media()
    make(disks)
    return disks[0], read_superblock(disks[0], "disk0")


def rewritten(**fields: Any) -> MemoryDevice:
    """A member whose superblock was changed, with a right checksum."""
    disk, superblock = member()
    disk.write(4096, superblock.change(**fields).build())
    return disk


def test_a_superblock_survives_parse_and_build() -> None:
    disk, superblock = member()
    assert superblock.build() == bytes(disk.read(4096, 4096))
    assert superblock.name == "host:backup"
    assert (superblock.role, superblock.active, superblock.clean) == (0, True, True)


def test_nothing_reserved_is_set() -> None:
    page = bytes(member()[0].read(4096, 4096))
    assert page[12:16] == bytes(4)
    assert page[100:128] == bytes(28)
    assert page[184:192] == bytes(8)
    assert page[224:256] == bytes(32)
    assert page[512:] == bytes(3584)


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", 0), (b"\x01\0\0\0\x02\0\0\0", 3), (b"\xff" * 8, 0xFFFFFFFF), (b"\x01\0\0\0\xff\xff", 0x10000)],
)
def test_checksum_adds_words_and_the_carry(data: bytes, expected: int) -> None:
    assert checksum(data) == expected


def test_uuids_as_mdadm_shows_them() -> None:
    assert format_uuid(bytes(range(16))) == "00010203:04050607:08090a0b:0c0d0e0f"


@given(st.integers(0, 511), st.integers(1, 255))
def test_any_flipped_byte_is_noticed(where: int, flip: int) -> None:
    disk, _ = member()
    page = bytearray(disk.read(4096, 4096))
    page[where] ^= flip
    disk.write(4096, page)
    with pytest.raises((NotAMember, ArrayUnsupported)):
        read_superblock(disk, "disk0")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"feature_map": Feature.BITMAP_OFFSET | bit}, name)
        for bit, name in [
            (Feature.RESHAPE_ACTIVE, "unfinished reshape"),
            (Feature.BAD_BLOCKS, "bad blocks that are listed nowhere"),
            (Feature.REPLACEMENT, "replacement"),
            (Feature.RESHAPE_BACKWARDS, "reshape"),
            (Feature.NEW_OFFSET, "move of the data"),
            (Feature.CLUSTERED, "clustered"),
            (Feature.JOURNAL, "journal"),
            (Feature.PPL, "partial parity log"),
            (Feature.MULTIPLE_PPLS, "partial parity log"),
            (Feature.RAID0_LAYOUT, "RAID0 layout"),
            (1 << 20, "unknown feature bits 0x100000"),
        ]
    ]
    + [
        ({"level": 5}, "RAID level 5"),
        ({"level": (1 << 32) - 1}, "RAID level -1"),
        ({"pad0": 1}, "reserved"),
        ({"pad3": b"\1"}, "reserved"),
        ({"roles": (0xFFFD, 1)}, "a journal device"),
    ],
)
def test_what_is_not_served_is_refused_by_name(fields: dict[str, Any], name: str) -> None:
    with pytest.raises(ArrayUnsupported, match=name):
        read_superblock(rewritten(**fields), "disk0")


@pytest.mark.parametrize(
    "fields",
    [
        {"magic": MAGIC + 1},
        {"major_version": 2},
        {"super_offset": 16},
        {"data_size": SIZE // 512},
        {"size": 0},
        {"raid_disks": 0},
        {"roles": (2, 1)},
        {"data_offset": 1 << 60},
    ],
)
def test_what_is_damaged_is_no_member(fields: dict[str, Any]) -> None:
    with pytest.raises(NotAMember):
        read_superblock(rewritten(**fields), "disk0")


@pytest.mark.parametrize("size", [0, 4096, 8192, 64 * KIB])
def test_small_and_blank_devices_are_no_members(size: int) -> None:
    with pytest.raises(NotAMember):
        read_superblock(MemoryDevice(size, 4096), "disk0")
