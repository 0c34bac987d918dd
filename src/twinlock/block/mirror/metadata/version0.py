"""Metadata 0.90, what Linux made until 2009: 64 KiB at the device's end, superblock first, bitmap behind it.

What it cannot say is mapped safely.  A device has no identifier: one is made up of the array's, its
number and its path, so that two devices of one number are never taken for copies of each other.  How
far a member is filled has no place either: such a member is a spare on disk, and is filled anew after a stop.
"""

from dataclasses import dataclass
from hashlib import sha256

from twinlock.block.mirror.layout import SUPERBLOCK_SIZE
from twinlock.block.mirror.metadata.base import Metadata
from twinlock.block.mirror.metadata.structure0 import (
    DEVICES,
    FIRST_DEVICE,
    MINOR,
    Device0,
    DeviceState,
    Header0,
    State,
)
from twinlock.block.mirror.metadata.table0 import roles, table, waiting
from twinlock.block.mirror.superblock import (
    CLEAN,
    FAILFAST,
    MAGIC,
    TIME_MASK,
    WRITE_MOSTLY,
    Feature,
    Superblock,
    SuperblockHeader,
    checksum,
)
from twinlock.units import KIB, SECTOR

MAJOR = 0
RESERVED = 64 * KIB
LARGEST = (2 << 32) - 2
"""Sectors of a member that the kernel uses: ``size`` counts KiB in 32 bits."""
_UNTIL = 0xFFFFFFFF
_FLAGS = {DeviceState.WRITE_MOSTLY: WRITE_MOSTLY, DeviceState.FAILFAST: FAILFAST}
_KNOWN_STATES = int(State.CLEAN | State.ERRORS | State.BITMAP)
_KNOWN_DEVICE_STATES = sum(DeviceState)
_BITMAP_UUID = slice(8, 24)


def place(device_size: int) -> int:
    """Where the superblock lies: 64 KiB to 128 KiB before the end, on a whole 64 KiB."""
    return device_size // RESERVED * RESERVED - RESERVED


@dataclass(frozen=True, slots=True)
class Version0(Metadata):
    """``page`` is the superblock as it was read: what is not used of it is kept."""

    page: bytes
    path: str

    def parse(self) -> tuple[Superblock, str | None]:
        """What the page says, and why it cannot be believed, if so."""
        header = Header0.parse(self.page)
        entries = _entries(self.page)
        own = Device0.parse(self.page, SUPERBLOCK_SIZE - Device0.SIZE).number
        fault = _fault(self.page, header, own)
        if fault is not None:
            return Superblock(SuperblockHeader(), ()), fault
        neutral = _neutral(header, self.offset, own, self.path, entries[own].state)
        return Superblock(neutral, roles(entries), waiting(entries)), None

    def unserved(self) -> str | None:
        """What the page uses that twinlock does not serve, or None."""
        header = Header0.parse(self.page)
        states = {bit for entry in _entries(self.page) for bit in _bits(entry.state & ~_KNOWN_DEVICE_STATES)}
        found = (
            (header.minor_version == MINOR + 1, "an unfinished reshape"),
            (header.minor_version != MINOR, f"md metadata 0.{header.minor_version}"),
            (header.not_persistent != 0, "a superblock that is not to be kept"),
            (header.state & ~_KNOWN_STATES, f"unknown states {header.state & ~_KNOWN_STATES:#x}"),
            (states, f"unknown states of devices {sorted(states)}"),
        )
        return next((name for used, name in found if used), None)

    def build(self, superblock: Superblock) -> bytes:
        """See :meth:`Metadata.build`."""
        marks = (bit for bit, flag in _FLAGS.items() if superblock.header.devflags & flag)
        own_flags = DeviceState(sum(marks))
        described = table(_with_own(superblock), _entries(self.page), own_flags)
        header = _header(Header0.parse(self.page), superblock).replace(**described.counts(), sb_csum=0)
        rest = described.build()
        total = checksum(header.build() + rest)
        return header.replace(sb_csum=total).build() + rest

    def bitmap_area(self, superblock: Superblock, device_size: int) -> range:
        """The rest of the 64 KiB."""
        return range(self.bitmap_offset(superblock), self.offset + RESERVED)

    def bitmap_page(self, page: bytes) -> bytes:
        """The bitmap names the array in the words of the superblock."""
        return page[: _BITMAP_UUID.start] + _swapped(page[_BITMAP_UUID]) + page[_BITMAP_UUID.stop :]


def _entries(page: bytes) -> list[Device0]:
    return [Device0.parse(page, FIRST_DEVICE + number * Device0.SIZE) for number in range(DEVICES)]


def _bits(value: int) -> list[int]:
    return [bit for bit in range(32) if value >> bit & 1]


def _fault(page: bytes, header: Header0, own: int) -> str | None:
    if header.magic != MAGIC:
        return (
            "its superblock is that of a big-endian machine (mdadm --assemble --update=byteorder converts it)"
        )
    summed = header.replace(sb_csum=0).build() + page[Header0.SIZE : SUPERBLOCK_SIZE]
    if _folded(checksum(summed)) != _folded(header.sb_csum):
        return "its superblock is damaged (wrong checksum)"
    return "its superblock is damaged (too many devices)" if own >= DEVICES else None


def _folded(total: int) -> int:
    """The kernel compares 16 bits: some old machines kept no more."""
    total = (total & 0xFFFF) + (total >> 16)
    return (total & 0xFFFF) + (total >> 16)


def _swapped(uuid: bytes) -> bytes:
    """An identifier is four words: mdadm shows their digits, so the bytes are turned in each."""
    return b"".join(uuid[start : start + 4][::-1] for start in range(0, 16, 4))


def _uuid(header: Header0) -> bytes:
    words = (header.set_uuid0, header.set_uuid1, header.set_uuid2, header.set_uuid3)
    return b"".join(word.to_bytes(4, "big") for word in words)


def _neutral(header: Header0, offset: int, own: int, path: str, state: int) -> SuperblockHeader:
    uuid = _uuid(header)
    bitmap = header.state & State.BITMAP
    return SuperblockHeader(
        feature_map=int(Feature.BITMAP_OFFSET) if bitmap else 0,
        set_uuid=uuid,
        set_name=str(header.md_minor).encode(),
        ctime=header.ctime,
        level=header.level,
        layout=header.layout,
        size=header.size * KIB // SECTOR,
        chunksize=header.chunk_size // SECTOR,
        raid_disks=header.raid_disks,
        bitmap_offset=SUPERBLOCK_SIZE // SECTOR if bitmap else 0,
        data_size=min(offset // SECTOR, LARGEST),
        super_offset=offset // SECTOR,
        dev_number=own,
        device_uuid=_made_up(uuid, own, path),
        devflags=sum(flag for bit, flag in _FLAGS.items() if state & bit),
        utime=header.utime,
        events=header.events,
        resync_offset=_resync_offset(header),
        max_dev=DEVICES,
    )


def _made_up(uuid: bytes, number: int, path: str) -> bytes:
    return sha256(uuid + number.to_bytes(2, "big") + path.encode()).digest()[:16]


def _resync_offset(header: Header0) -> int:
    """As the kernel: the checkpoint counts if nothing has happened since."""
    if header.state & State.CLEAN:
        return CLEAN
    return header.recovery_cp if header.events == header.cp_events else 0


def _with_own(superblock: Superblock) -> Superblock:
    """Who says of itself that it is being filled, is."""
    if not superblock.features & Feature.RECOVERY_OFFSET:
        return superblock
    return superblock.change(waiting=superblock.waiting | {superblock.header.dev_number})


def _header(before: Header0, superblock: Superblock) -> Header0:
    fields = superblock.header
    words = [int.from_bytes(fields.set_uuid[start : start + 4], "big") for start in range(0, 16, 4)]
    clean = fields.resync_offset == CLEAN
    state = (State.CLEAN if clean else 0) | (State.BITMAP if superblock.has_bitmap else 0)
    return before.replace(
        magic=MAGIC,
        minor_version=MINOR,
        set_uuid0=words[0],
        set_uuid1=words[1],
        set_uuid2=words[2],
        set_uuid3=words[3],
        ctime=min(fields.ctime & TIME_MASK, _UNTIL),
        level=fields.level,
        size=fields.size * SECTOR // KIB,
        raid_disks=fields.raid_disks,
        utime=min(fields.utime & TIME_MASK, _UNTIL),
        state=int(state),
        events=fields.events,
        cp_events=fields.events if fields.resync_offset else 0,
        recovery_cp=min(fields.resync_offset, _UNTIL),
        layout=fields.layout,
        chunk_size=fields.chunksize * SECTOR,
    )
