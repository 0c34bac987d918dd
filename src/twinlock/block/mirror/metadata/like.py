"""The kind of superblock that a new member gets: that of the others, in its place on this device."""

from twinlock.block.mirror.metadata.base import Metadata
from twinlock.block.mirror.metadata.version0 import LARGEST, Version0, place
from twinlock.block.mirror.metadata.version1 import version_1_0
from twinlock.block.mirror.superblock import Superblock
from twinlock.units import SECTOR, round_down


def metadata_like(kind: Metadata, device_size: int, path: str) -> Metadata:
    """The same version, on a device of that size."""
    if isinstance(kind, Version0):
        return Version0(kind.version, place(device_size), kind.page, path)
    return version_1_0(device_size) if kind.version == "1.0" else kind


def data_from_start(kind: Metadata, common: Superblock, unit: int) -> int | None:
    """Bytes before the metadata, in whole ``unit``s, if data begin at the device's start; else None."""
    if kind.version not in ("1.0", "0.90"):
        return None
    end = min(kind.offset, kind.offset + common.bitmap_start)
    return round_down(min(end, LARGEST * SECTOR), unit)
