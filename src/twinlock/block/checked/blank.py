"""A new table, of which nothing is known yet: its entries are zeros."""

from typing_extensions import Buffer

from twinlock.block.checked.header import TableHeader, digest
from twinlock.block.checked.place import TablePlace, entries_bytes
from twinlock.units import MIB


def prepare_table(place: TablePlace, data_size: int) -> None:
    """Make the entries for so many bytes of data zeros.  Durable only after a flush of the device."""
    start, end = place.entries_offset, place.entries_offset + entries_bytes(data_size)
    device = place.device
    device.discard(start, end - start)
    if device.punches_holes:  # asked afterwards: it may have found out just now that it cannot
        return
    for offset in range(start, end, MIB):
        device.write(offset, bytes(min(MIB, end - offset)))


def write_table_header(place: TablePlace, header: TableHeader, superblock: Buffer) -> None:
    """Bind the table to the superblock (4 KiB) that is about to be written.  Durable."""
    bound = digest(superblock)
    place.write_header(header.replace(written=bound, coming=bound))
