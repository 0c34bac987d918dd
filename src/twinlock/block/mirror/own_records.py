"""What twinlock itself keeps on the members, compared with their media: superblocks, bitmaps, checksums.

All of it is in memory while the array runs, so what is different on a medium is wrong, and is written
anew.  No write-intent bit is needed for that: a crash in between leaves what was there, or what should be.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from typing_extensions import Buffer

from twinlock.block.checked.device import SPAN
from twinlock.block.device import BlockDevice
from twinlock.block.mirror.layout import BLOCK
from twinlock.block.mirror.member import Member
from twinlock.block.mirror.metadata.find import find
from twinlock.block.mirror.record import Record
from twinlock.errors import DeviceError, DeviceGone, MediumError, SpaceExhausted, TwinlockError

CHECKSUMS = "checksums"


class _Medium:
    """A device of which only the medium is read."""

    def __init__(self, device: BlockDevice) -> None:
        self._device = device
        self.size = device.size
        self.block_size = device.block_size

    def read(self, offset: int, length: int) -> Buffer:
        return self._device.read_medium(offset, length)


@dataclass(frozen=True, slots=True)
class OwnRecords:
    """Looks at what the members of ``record`` keep; ``tell`` hears of each block that was written anew.

    A member that does not keep it is failed; a table in a file of its own is lost without its member.
    Raises as :meth:`Record.fail` does.
    """

    record: Record
    tell: Callable[[Member, str], None]

    def check(self) -> None:
        """All superblocks, headers of tables and bitmaps."""
        with self.record.lock:
            for member in (*self.record.writers, *self.record.spares()):
                store = partial(member.store_superblock, member.superblock)
                self._keep(member, "superblock", partial(_holds_superblock, member), store)
                if member.checked is not None:
                    checked = member.checked
                    self._keep(member, CHECKSUMS, checked.holds_header, checked.persist)
            for member in self.record.writers:
                for number in self.record.bitmap.pages:
                    store = partial(member.store_page, self.record.bitmap, number)
                    self._keep(member, "bitmap", partial(_holds_page, member, self.record, number), store)

    def check_table(self, number: int) -> None:
        """One page of every table of checksums; the pages are numbered from 0."""
        for member in self.record.readers:
            checked = member.checked
            if checked is not None and number * SPAN < checked.size:
                self._keep(member, CHECKSUMS, partial(checked.holds_page, number), checked.flush)

    def _keep(self, member: Member, what: str, holds: Callable[[], bool], store: Callable[[], None]) -> None:
        try:
            if _true(holds):
                return
            store()
            if not _true(holds):
                raise MediumError(f"{member.path} does not keep what is written to it")
        except SpaceExhausted:
            return  # nothing has failed, and the next scrub comes by here again
        except DeviceError as error:
            self._fail(member, what, error)
        else:
            self.tell(member, what)

    def _fail(self, member: Member, what: str, error: DeviceError) -> None:
        try:
            if what != CHECKSUMS or member.checked is None:
                raise error
            member.checked.lose(error)
        except DeviceError:
            self.record.fail({member: error})


def _true(holds: Callable[[], bool]) -> bool:
    """False also for what cannot be read."""
    try:
        return holds()
    except DeviceGone:
        raise
    except DeviceError:
        return False


def _holds_superblock(member: Member) -> bool:
    """True if it is on the medium, or one that says the same, as another program writes it."""
    expected = member.image[: member.metadata.extent(member.superblock)]
    if bytes(member.device.read_medium(member.metadata.offset, len(expected))) == expected:
        return True
    try:
        found = find(_Medium(member.device), member.path).superblock  # type: ignore[arg-type]
    except TwinlockError:
        return False
    return member.metadata.build(found)[: len(expected)] == expected


def _holds_page(member: Member, record: Record, number: int) -> bool:
    bitmap = record.bitmap
    page = bitmap.page(number)
    if number == 0:
        page = member.metadata.bitmap_page(page)
    used = bitmap.used(number, 1)
    if used <= 0:
        return True
    length = bitmap.used(number, max(512, member.device.block_size)) if member.bitmap_start % BLOCK else BLOCK
    found = member.device.read_medium(member.bitmap_start + number * BLOCK, length)
    return bytes(memoryview(found)[:used]) == page[:used]
