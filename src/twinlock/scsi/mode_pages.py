"""Mode pages, each with its current, changeable and default values (SPC-4, SBC-3).

Only D_SENSE and SWP are changeable, and nothing is saved: a disk begins, and
begins anew after each reset, as it was created.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from twinlock.scsi.mode_values import ModeValues
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_mode import (
    CachingPage,
    ControlPage,
    ErrorRecoveryPage,
    InformationalExceptionsPage,
    ModePage,
    PageControl,
)
from twinlock.wire.structure import Structure

_UNRESTRICTED_REORDERING = 1
_UNLIMITED = 0xFFFF


def error_recovery(mode: ModeValues) -> ErrorRecoveryPage:
    """01h: what one member cannot read is rewritten from the other (ARRE); a failed write fails a member."""
    return ErrorRecoveryPage(automatic_read_reallocation=True)


def caching(mode: ModeValues) -> CachingPage:
    """08h: what was written sits in the page cache until a flush, and that is said."""
    return CachingPage(write_cache_enabled=True)


def control(mode: ModeValues) -> ControlPage:
    """0Ah: one task set; commands may overtake each other; what others abort gets no status (TAS 0)."""
    return ControlPage(
        descriptor_sense=mode.descriptor_sense,
        global_logging_save_disable=True,
        queue_algorithm_modifier=_UNRESTRICTED_REORDERING,
        software_write_protect=mode.software_write_protect,
        busy_timeout_period=_UNLIMITED,
    )


def informational_exceptions(mode: ModeValues) -> InformationalExceptionsPage:
    """1Ch: nothing is reported this way (DEXCPT); a degraded mirror is told by the program's own alerts."""
    return InformationalExceptionsPage(disable_exceptions=True)


def _nothing_to_select(mode: ModeValues, page: bytes) -> ModeValues:
    return mode


def _select_control(mode: ModeValues, page: bytes) -> ModeValues:
    chosen = ControlPage.parse(page)
    return replace(
        mode,
        descriptor_sense=chosen.descriptor_sense,
        software_write_protect=chosen.software_write_protect,
    )


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its values under given parameters, ones where they are changeable, and how to change them."""

    current: Callable[[ModeValues], Structure]
    changeable: Structure
    select: Callable[[ModeValues, bytes], ModeValues] = _nothing_to_select

    @property
    def size(self) -> int:
        """Bytes, with its header."""
        return self.changeable.SIZE


PAGES: dict[int, Page] = {
    ModePage.READ_WRITE_ERROR_RECOVERY: Page(error_recovery, ErrorRecoveryPage()),
    ModePage.CACHING: Page(caching, CachingPage(write_cache_enabled=False)),
    ModePage.CONTROL: Page(
        control, ControlPage(descriptor_sense=True, software_write_protect=True), _select_control
    ),
    ModePage.INFORMATIONAL_EXCEPTIONS: Page(informational_exceptions, InformationalExceptionsPage()),
}
"""By page code, in ascending order, as MODE SENSE returns them all."""


def page_values(disk: Disk, page: int, which: PageControl) -> bytes:
    """The bytes of ``page``; for changeable values, a mask of them behind the two bytes of header."""
    if which is PageControl.CHANGEABLE:
        return PAGES[page].changeable.build()
    return PAGES[page].current(disk.default_mode if which is PageControl.DEFAULT else disk.mode).build()
