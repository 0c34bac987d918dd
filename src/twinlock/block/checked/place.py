"""Where the checksum table of one member lies."""

from dataclasses import dataclass

from twinlock.block.checked.header import HEADER_SIZE, TableHeader, build_header, parse_header
from twinlock.block.device import BlockDevice
from twinlock.native.checksum import BLOCK, ENTRY
from twinlock.units import round_up


@dataclass(frozen=True, slots=True)
class TablePlace:
    """A table on ``device``: its header, and room for ``capacity`` entries.  Offsets in bytes.

    ``own`` is True if the device holds nothing else, and belongs to the table.
    """

    device: BlockDevice
    header_offset: int
    entries_offset: int
    capacity: int
    own: bool = False

    def read_header(self) -> TableHeader | None:
        """The header that is there, if it is one of a table in this very place.  DeviceError passes."""
        found = parse_header(self.device.read(self.header_offset, HEADER_SIZE))
        if found is None or found.entries_offset != self.entries_offset:
            return None
        grown = self.own and found.capacity < self.capacity  # its file was made longer
        return found if grown or found.capacity == self.capacity else None

    def write_header(self, header: TableHeader) -> None:
        """Durably."""
        self.device.write_durable(self.header_offset, build_header(self.placed(header)))

    def placed(self, header: TableHeader) -> TableHeader:
        """The header as it goes here."""
        return header.replace(entries_offset=self.entries_offset, capacity=self.capacity)


def entries_bytes(data_size: int) -> int:
    """Bytes, in whole pages, of the entries for so many bytes of data."""
    return round_up(round_up(data_size, BLOCK) // BLOCK * ENTRY, BLOCK)
