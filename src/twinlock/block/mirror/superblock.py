"""The md superblock, metadata 1.x: ``struct mdp_superblock_1`` of linux/raid/md_p.h.

256 bytes of fields and one 16-bit role per device number; all little-endian.  In
memory, members of every version have their superblock in this form.  Where it lies, and what of it
is served, is in :mod:`twinlock.block.mirror.metadata`.
"""

from dataclasses import dataclass, replace
from enum import IntFlag
from typing import Any, Self

from typing_extensions import Buffer

from twinlock.block.mirror.layout import SUPERBLOCK_SIZE
from twinlock.units import SECTOR
from twinlock.wire.structure import Structure, raw, structure, u8, u16, u32, u64

MAGIC = 0xA92B4EFC
LEVEL_MIRROR = 1
CLEAN = (1 << 64) - 1
"""``resync_offset`` of an array whose members agree (MaxSector)."""
ACTIVE = 0
"""``resync_offset`` of an array that is being written to."""

ROLE_SPARE, ROLE_FAULTY, ROLE_JOURNAL = 0xFFFF, 0xFFFE, 0xFFFD
ROLE_MAX = 0xFF00
"""Above are the special roles; up to here they are places in the array."""
MAX_DEVICES = (SUPERBLOCK_SIZE - 256) // 2
TIME_MASK = (1 << 40) - 1
"""Times are seconds in the low 40 bits, microseconds above."""
WRITE_MOSTLY = 1
"""A bit of ``devflags``: read from another member if there is one."""
FAILFAST = 2
"""A bit of ``devflags``: the kernel retries less.  Kept, and of no meaning here."""


class Feature(IntFlag):
    """Bits of ``feature_map``."""

    BITMAP_OFFSET = 1 << 0
    RECOVERY_OFFSET = 1 << 1
    RESHAPE_ACTIVE = 1 << 2
    BAD_BLOCKS = 1 << 3
    REPLACEMENT = 1 << 4
    RESHAPE_BACKWARDS = 1 << 5
    NEW_OFFSET = 1 << 6
    RECOVERY_BITMAP = 1 << 7
    CLUSTERED = 1 << 8
    JOURNAL = 1 << 9
    PPL = 1 << 10
    MULTIPLE_PPLS = 1 << 11
    RAID0_LAYOUT = 1 << 12


@structure(size=256, section="linux/raid/md_p.h struct mdp_superblock_1", byte_order="little")
class SuperblockHeader(Structure):
    """The fixed fields.  Sizes and offsets are in sectors of 512 bytes; signed fields are kept unsigned."""

    magic: int = u32(0, default=MAGIC)
    major_version: int = u32(4, default=1)
    feature_map: int = u32(8, default=0)
    pad0: int = u32(12, default=0)
    set_uuid: bytes = raw(16, 16, default=b"")
    set_name: bytes = raw(32, 32, default=b"")
    ctime: int = u64(64, default=0)
    level: int = u32(72, default=LEVEL_MIRROR)
    layout: int = u32(76, default=0)
    size: int = u64(80, default=0)
    chunksize: int = u32(88, default=0)
    raid_disks: int = u32(92, default=0)
    bitmap_offset: int = u32(96, default=0)
    new_level: int = u32(100, default=0)
    reshape_position: int = u64(104, default=0)
    delta_disks: int = u32(112, default=0)
    new_layout: int = u32(116, default=0)
    new_chunk: int = u32(120, default=0)
    new_offset: int = u32(124, default=0)
    data_offset: int = u64(128, default=0)
    data_size: int = u64(136, default=0)
    super_offset: int = u64(144, default=0)
    recovery_offset: int = u64(152, default=0)
    dev_number: int = u32(160, default=0)
    cnt_corrected_read: int = u32(164, default=0)
    device_uuid: bytes = raw(168, 16, default=b"")
    devflags: int = u8(184, default=0)
    bblog_shift: int = u8(185, default=0)
    bblog_size: int = u16(186, default=0)
    bblog_offset: int = u32(188, default=0)
    utime: int = u64(192, default=0)
    events: int = u64(200, default=0)
    resync_offset: int = u64(208, default=0)
    sb_csum: int = u32(216, default=0)
    max_dev: int = u32(220, default=0)
    pad3: bytes = raw(224, 32, default=b"")


@dataclass(frozen=True, slots=True)
class Superblock:
    """One member's superblock; ``roles`` has the role of each device number.

    ``waiting`` are the numbers of devices that are there without all of the data: they are spares, or are
    being filled.  Metadata 1.x says that in each device's own superblock only, 0.90 in every table.
    """

    header: SuperblockHeader
    roles: tuple[int, ...]
    waiting: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, page: Buffer) -> Self:
        """The superblock in 4 KiB, its checksum not looked at; raises Malformed if the bytes are too few."""
        header = SuperblockHeader.parse(page)
        end = SuperblockHeader.SIZE + 2 * min(header.max_dev, MAX_DEVICES)
        roles = memoryview(page)[SuperblockHeader.SIZE : end].cast("B").tolist()
        return cls(header, tuple(low | high << 8 for low, high in zip(roles[::2], roles[1::2], strict=True)))

    def build(self) -> bytes:
        """The 4 KiB as they go to disk, with their checksum."""
        header = self.header.replace(max_dev=len(self.roles), sb_csum=0)
        roles = b"".join(role.to_bytes(2, "little") for role in self.roles)
        header = header.replace(sb_csum=checksum(header.build() + roles))
        return (header.build() + roles).ljust(SUPERBLOCK_SIZE, b"\0")

    def change(
        self,
        *,
        roles: tuple[int, ...] | None = None,
        waiting: frozenset[int] | None = None,
        **fields: Any,
    ) -> "Superblock":
        """A copy with some fields changed."""
        return replace(
            self,
            header=self.header.replace(**fields),
            roles=self.roles if roles is None else roles,
            waiting=self.waiting if waiting is None else waiting,
        )

    @property
    def features(self) -> Feature:
        """``feature_map``, unknown bits included."""
        return Feature(self.header.feature_map)

    @property
    def role(self) -> int:
        """The role this superblock gives its own device."""
        return self.role_of(self.header.dev_number)

    def role_of(self, dev_number: int) -> int:
        """The role this superblock gives a device number."""
        return self.roles[dev_number] if dev_number < len(self.roles) else ROLE_SPARE

    @property
    def active(self) -> bool:
        """True if the device believes that it has a place in the array."""
        return self.role <= ROLE_MAX

    @property
    def clean(self) -> bool:
        """True if the members agreed when this was written."""
        return self.header.resync_offset == CLEAN

    @property
    def has_bitmap(self) -> bool:
        """True if the array keeps its bitmap on the members."""
        return bool(self.header.feature_map & Feature.BITMAP_OFFSET)

    @property
    def bitmap_start(self) -> int:
        """Where the bitmap begins, in bytes from the superblock; before it where negative."""
        return signed(self.header.bitmap_offset) * SECTOR

    @property
    def bad_blocks_start(self) -> int:
        """Where the bad-block log begins, in bytes from the superblock; before it where negative."""
        return signed(self.header.bblog_offset) * SECTOR

    @property
    def write_mostly(self) -> bool:
        """True if reads should go elsewhere."""
        return bool(self.header.devflags & WRITE_MOSTLY)

    @property
    def name(self) -> str:
        """``host:name``, as it was given at creation."""
        return self.header.set_name.rstrip(b"\0").decode(errors="replace")


def checksum(data: bytes) -> int:
    """md's checksum: the sum of the little-endian 32-bit words, the carry added once.

    ``data`` is the header, with ``sb_csum`` zero, and the roles; an odd number of roles leaves a half word.
    """
    total = sum(int.from_bytes(data[start : start + 4], "little") for start in range(0, len(data), 4))
    return ((total & 0xFFFFFFFF) + (total >> 32)) & 0xFFFFFFFF


def signed(value: int) -> int:
    """A field of 32 bits that has a sign."""
    return value - (1 << 32) if value >> 31 else value


def format_uuid(uuid: bytes) -> str:
    """Sixteen bytes as mdadm shows them: four groups of eight digits."""
    text = uuid.hex()
    return ":".join(text[start : start + 8] for start in range(0, 32, 8))
