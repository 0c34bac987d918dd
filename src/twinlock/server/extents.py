"""The map of what takes up room, in whole logical blocks."""

from twinlock.block.device import BlockDevice
from twinlock.scsi.operations import Extent
from twinlock.units import round_down, round_up

MOST_LOOKS = 4096
"""Questions asked of the device for one command, however torn the file is."""


def extents(device: BlockDevice, start: int, end: int, block_size: int, most: int) -> tuple[Extent, ...]:
    """At most ``most`` extents from ``start`` on, each unlike its neighbours; one, at least, of any bytes.

    A block of which any part takes up room counts as one that does.
    """
    found: list[Extent] = []
    for _ in range(MOST_LOOKS):
        if start >= end:
            break
        length, mapped = _whole_blocks(*device.allocation(start, end - start), block_size)
        if found and found[-1].mapped is mapped:
            found[-1] = Extent(found[-1].offset, found[-1].length + length, mapped)
        elif len(found) == most:
            break
        else:
            found.append(Extent(start, length, mapped))
        start += length
    return tuple(found)


def _whole_blocks(length: int, mapped: bool, block_size: int) -> tuple[int, bool]:
    if mapped:
        return round_up(length, block_size), True
    whole = round_down(length, block_size)
    return (whole, False) if whole else (block_size, True)
