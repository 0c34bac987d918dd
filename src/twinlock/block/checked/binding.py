"""The header of a table on its medium: what it names, and when it is written.

It names the superblock that is on the member and the one about to be written.  Before each superblock comes
:meth:`Binding.bind`; between two, :meth:`Binding.persist` puts down how far the entries count by then.
"""

from collections.abc import Callable
from threading import Lock

from typing_extensions import Buffer

from twinlock.block.checked.header import TableHeader, build_header, digest
from twinlock.block.checked.place import TablePlace
from twinlock.native.checksum import BLOCK
from twinlock.units import round_down


class Binding:
    """``header`` is what lies at ``place``, or what will.

    ``superblock`` is the digest of the first ``superblock_size`` bytes of the member's as it is now.  Where a
    method takes ``durable``, that tells of how many of the ``size`` bytes of data the medium has the entries.
    Safe to use from several threads; a write that fails raises as :meth:`BlockDevice.write_durable` does.
    """

    def __init__(
        self,
        place: TablePlace,
        header: TableHeader,
        *,
        superblock: bytes,
        superblock_size: int,
        size: int,
    ) -> None:
        self._place = place
        self._header = header
        self._written = self._coming = superblock
        self._superblock_size = superblock_size
        self._size = size
        self._lock = Lock()

    def bind(self, superblock: Buffer, durable: Callable[[], int]) -> None:
        """Trust the table with the superblock that is on the member, and with ``superblock``.  Durable."""
        coming = digest(memoryview(superblock)[: self._superblock_size])
        with self._lock:
            self._write(self._coming, coming, durable())
            self._written, self._coming = self._coming, coming

    def persist(self, durable: Callable[[], int]) -> None:
        """Put down how far the entries count.

        Bound to what it was bound to: the coming superblock is perhaps not on the medium yet.
        """
        with self._lock:
            self._write(self._written, self._coming, durable())

    def holds(self) -> bool:
        """True if the medium holds the header, or was given none that counts.  Raises as a read does."""
        with self._lock:
            if not self._header.written:
                return True
            expected = build_header(self._place.placed(self._header))
            found = self._place.device.read_medium(self._place.header_offset, len(expected))
        return bytes(found) == expected

    def _write(self, written: bytes, coming: bytes, durable: int) -> None:
        whole = durable >= self._size
        covered = max(self._header.covered, self._size) if whole else round_down(durable, BLOCK)
        header = self._header.replace(covered=covered, written=written, coming=coming)
        self._place.write_header(header)
        self._header = header
