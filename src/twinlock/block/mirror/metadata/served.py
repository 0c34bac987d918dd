"""What of md's features twinlock serves, and which superblocks contradict themselves."""

from collections.abc import Iterator
from itertools import pairwise

from twinlock.block.mirror.layout import BLOCK
from twinlock.block.mirror.metadata.base import Metadata
from twinlock.block.mirror.metadata.version1 import least_extent
from twinlock.block.mirror.superblock import (
    LEVEL_MIRROR,
    MAX_DEVICES,
    ROLE_JOURNAL,
    Feature,
    Superblock,
    signed,
)
from twinlock.errors import ArrayUnsupported, NotAMember
from twinlock.units import SECTOR

_SERVED = int(Feature.BITMAP_OFFSET | Feature.RECOVERY_OFFSET | Feature.RECOVERY_BITMAP | Feature.BAD_BLOCKS)
_REFUSED = {
    Feature.RESHAPE_ACTIVE: "an unfinished reshape",
    Feature.REPLACEMENT: "a replacement device (let mdadm finish it, or leave this device out)",
    Feature.RESHAPE_BACKWARDS: "an unfinished reshape",
    Feature.NEW_OFFSET: "an unfinished move of the data",
    Feature.CLUSTERED: "a clustered bitmap",
    Feature.JOURNAL: "a journal device",
    Feature.PPL: "a partial parity log",
    Feature.MULTIPLE_PPLS: "a partial parity log",
    Feature.RAID0_LAYOUT: "a RAID0 layout",
}
NO_BITMAP = "an array without an internal bitmap"
LOG_SECTORS = 8
"""The most that the kernel reads of a bad-block log."""


def unserved(found: Superblock) -> str | None:
    """What an array uses that twinlock does not serve, or None."""
    return next(_unserved(found), None)


def _unserved(found: Superblock) -> Iterator[str]:
    header = found.header
    if header.level != LEVEL_MIRROR:
        yield f"RAID level {signed(header.level)}"
    yield from (name for bit, name in _REFUSED.items() if header.feature_map & bit)
    unknown = header.feature_map & ~_SERVED
    if unknown:
        yield f"unknown feature bits {unknown:#x}"
    if header.pad0 or any(header.pad3):
        yield "reserved fields of the superblock"
    if found.role == ROLE_JOURNAL:
        yield "a journal device"
    if header.feature_map & Feature.BAD_BLOCKS and not (header.bblog_offset and header.bblog_size):
        yield "bad blocks that are listed nowhere"
    if header.bblog_size > LOG_SECTORS:
        yield f"a bad-block log of {header.bblog_size} sectors"


def check_geometry(found: Superblock, metadata: Metadata, device_size: int, path: str) -> None:
    """Raise NotAMember if the device is too small for what its superblock says, or that is nonsense."""
    header = found.header
    end = (header.data_offset + max(header.size, header.data_size)) * SECTOR
    if end > device_size:
        raise NotAMember(
            path=path, reason=f"it was cut short: the array needs {end} bytes, it has {device_size}"
        )
    sound = 0 < header.size <= header.data_size and 0 < header.raid_disks <= MAX_DEVICES
    if (
        not sound
        or (found.active and found.role >= header.raid_disks)
        or _overlap(found, metadata, device_size)
    ):
        raise NotAMember(path=path, reason="its superblock contradicts itself")


def _overlap(found: Superblock, metadata: Metadata, device_size: int) -> bool:
    """True if superblock, bitmap, bad-block log and data are not apart, or not all on the device."""
    areas = sorted(_areas(found, metadata), key=lambda area: area.start)
    apart = all(one.stop <= other.start for one, other in pairwise(areas))
    return not apart or areas[0].start < 0 or areas[-1].stop > device_size


def _areas(found: Superblock, metadata: Metadata) -> Iterator[range]:
    yield metadata.data(found)
    yield range(metadata.offset, metadata.offset + least_extent(found))
    if found.has_bitmap:
        start = metadata.bitmap_offset(found)
        yield range(start, start + SECTOR)
    if found.header.bblog_size and found.header.bblog_offset:
        start = metadata.bad_blocks_offset(found)
        yield range(start, start + found.header.bblog_size * SECTOR)


def check_blocks(found: Superblock, metadata: Metadata, block_size: int, path: str) -> None:
    """Raise ArrayUnsupported if what has to be written does not begin and end on blocks of the device."""
    header = found.header
    starts = {
        "data": header.data_offset * SECTOR | header.size * SECTOR,
        "a superblock": metadata.offset | metadata.extent(found),
        "a bitmap": metadata.bitmap_offset(found) if found.has_bitmap else BLOCK,
        "a bad-block log": (metadata.bad_blocks_offset(found) | header.bblog_size * SECTOR),
    }
    for name, start in starts.items():
        if start % block_size:
            verb = "do" if name == "data" else "does"
            raise ArrayUnsupported(
                path=path, feature=f"{name} that {verb} not fit its blocks of {block_size} bytes"
            )
