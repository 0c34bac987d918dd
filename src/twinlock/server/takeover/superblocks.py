"""Whether a device claims to belong to an md array, intact or not."""

from twinlock.block.device import BlockDevice
from twinlock.block.mirror.metadata import version0, version1
from twinlock.block.mirror.superblock import MAGIC
from twinlock.units import KIB

_SIZE = 4 * KIB


def is_member(device: BlockDevice) -> bool:
    """True if md's magic number is in one of the places of a superblock.

    A damaged superblock counts: what lies around it must not be taken for contents of another kind.
    """
    places = {0, version1.VERSION_1_2.offset, version1.at_end(device.size), version0.place(device.size)}
    return any(_has_magic(device, place) for place in places if 0 <= place <= device.size - _SIZE)


def _has_magic(device: BlockDevice, place: int) -> bool:
    if place % device.block_size:
        return False
    found = bytes(memoryview(device.read(place, _SIZE))[:4])
    return MAGIC in (int.from_bytes(found, "little"), int.from_bytes(found, "big"))
