"""``struct mdp_superblock_s`` of linux/raid/md_p.h, metadata 0.90: 4 KiB of 32-bit words.

The words are those of the machine that made the array; only little-endian ones are read.  The device
table has 27 entries, and the last 128 bytes repeat the entry of the device they are on.
"""

from enum import IntFlag

from twinlock.block.mirror.superblock import LEVEL_MIRROR, MAGIC
from twinlock.wire.structure import Structure, raw, structure, u32, u64

MINOR = 90
DEVICES = 27
FIRST_DEVICE = 512
"""Where the table begins, in bytes from the superblock."""


class State(IntFlag):
    """Bits of ``state``."""

    CLEAN = 1 << 0
    ERRORS = 1 << 1
    BITMAP = 1 << 8


class DeviceState(IntFlag):
    """Bits of a table entry's ``state``; none of the first four: a spare."""

    FAULTY = 1 << 0
    ACTIVE = 1 << 1
    SYNC = 1 << 2
    REMOVED = 1 << 3
    WRITE_MOSTLY = 1 << 9
    FAILFAST = 1 << 10


@structure(size=FIRST_DEVICE, section="linux/raid/md_p.h struct mdp_superblock_s", byte_order="little")
class Header0(Structure):
    """The words before the table; ``size`` in KiB, ``chunk_size`` in bytes, ``recovery_cp`` in sectors."""

    magic: int = u32(0, default=MAGIC)
    major_version: int = u32(4, default=0)
    minor_version: int = u32(8, default=MINOR)
    patch_version: int = u32(12, default=0)
    gvalid_words: int = u32(16, default=0)
    set_uuid0: int = u32(20, default=0)
    ctime: int = u32(24, default=0)
    level: int = u32(28, default=LEVEL_MIRROR)
    size: int = u32(32, default=0)
    nr_disks: int = u32(36, default=0)
    raid_disks: int = u32(40, default=0)
    md_minor: int = u32(44, default=0)
    not_persistent: int = u32(48, default=0)
    set_uuid1: int = u32(52, default=0)
    set_uuid2: int = u32(56, default=0)
    set_uuid3: int = u32(60, default=0)
    constant_reserved: bytes = raw(64, 64, default=b"")
    utime: int = u32(128, default=0)
    state: int = u32(132, default=0)
    active_disks: int = u32(136, default=0)
    working_disks: int = u32(140, default=0)
    failed_disks: int = u32(144, default=0)
    spare_disks: int = u32(148, default=0)
    sb_csum: int = u32(152, default=0)
    events: int = u64(156, default=0)
    cp_events: int = u64(164, default=0)
    recovery_cp: int = u32(172, default=0)
    state_reserved: bytes = raw(176, 80, default=b"")
    layout: int = u32(256, default=0)
    chunk_size: int = u32(260, default=0)
    personality_reserved: bytes = raw(264, 248, default=b"")


@structure(size=128, section="linux/raid/md_p.h struct mdp_device_descriptor_s", byte_order="little")
class Device0(Structure):
    """A table entry.  ``major`` and ``minor`` are what the kernel called the device last."""

    number: int = u32(0, default=0)
    major: int = u32(4, default=0)
    minor: int = u32(8, default=0)
    raid_disk: int = u32(12, default=0)
    state: int = u32(16, default=0)
    reserved: bytes = raw(20, 108, default=b"")


NOTHING = Device0()
