"""Mode pages, each with its current, changeable and default values (SPC-4, SBC-3).

Nothing is changeable and nothing is saved: a disk behaves as it was created.
"""

from collections.abc import Callable

from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_mode import CachingPage, ControlPage, ModePage, PageControl
from twinlock.wire.structure import Structure

_UNRESTRICTED_REORDERING = 1
_UNLIMITED = 0xFFFF


def caching(disk: Disk) -> CachingPage:
    """08h: what was written sits in the page cache until a flush, and that is said."""
    return CachingPage(write_cache_enabled=True)


def control(disk: Disk) -> ControlPage:
    """0Ah: commands may overtake each other; an initiator that needs an order waits."""
    return ControlPage(
        descriptor_sense=disk.descriptor_sense,
        queue_algorithm_modifier=_UNRESTRICTED_REORDERING,
        busy_timeout_period=_UNLIMITED,
    )


PAGES: dict[ModePage, Callable[[Disk], Structure]] = {
    ModePage.CACHING: caching,
    ModePage.CONTROL: control,
}
"""In ascending order, as MODE SENSE returns them all."""


def page_values(disk: Disk, page: ModePage, which: PageControl) -> bytes:
    """The bytes of ``page``; for changeable values, a mask of them behind the two bytes of header."""
    values = PAGES[page](disk).build()
    return values[:2] + bytes(len(values) - 2) if which is PageControl.CHANGEABLE else values
