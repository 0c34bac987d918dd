"""LOG SENSE: the two pages that initiators ask of every disk.

Nothing is measured that would fill another page: a volume has no temperature,
and its members are the business of the machine they are in.
"""

from collections.abc import Callable
from typing import Any

from twinlock.scsi.command import Call, Command, Opcode
from twinlock.scsi.operations import Result
from twinlock.scsi.reservations.access import Access
from twinlock.scsi.sense import invalid_field
from twinlock.scsi.transfer import reply
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_cdb_state import LogSenseCdb
from twinlock.wire.scsi_log import InformationalExceptions, LogPage, LogPageHeader, SubpageEntry

_ALL_SUBPAGES = 0xFF
_LAST_PARAMETER = 0x0000
"""The only parameter code of the only page that has parameters."""


def log_sense(call: Call[Disk], cdb: LogSenseCdb) -> Result:
    """A page, or the list of pages (with subpage FFh, of pages and subpages)."""
    if cdb.save_parameters:  # nothing is saved
        raise invalid_field(cdb, "save_parameters")
    page = _PAGES.get((cdb.page_code, cdb.subpage_code))
    if page is None:
        known = any(code == cdb.page_code for code, _ in _PAGES)
        raise invalid_field(cdb, "subpage_code" if known else "page_code")
    if cdb.parameter_pointer > _LAST_PARAMETER:
        raise invalid_field(cdb, "parameter_pointer")
    body = page()
    header = LogPageHeader(
        page_code=cdb.page_code,
        subpage_format=cdb.subpage_code != 0,
        subpage_code=cdb.subpage_code,
        page_length=len(body),
    )
    return reply(header.build() + body, cdb.allocation_length)


def _pages() -> bytes:
    return bytes(sorted(code for code, subpage in _PAGES if not subpage))


def _subpages() -> bytes:
    entries = (SubpageEntry(page_code=code, subpage_code=subpage) for code, subpage in sorted(_PAGES))
    return b"".join(entry.build() for entry in entries)


def _informational_exceptions() -> bytes:
    """No exception is ever pending: they are told by the program itself, see mode page 1Ch."""
    return InformationalExceptions().build()


_PAGES: dict[tuple[int, int], Callable[[], bytes]] = {
    (LogPage.SUPPORTED_PAGES, 0): _pages,
    (LogPage.SUPPORTED_PAGES, _ALL_SUBPAGES): _subpages,
    (LogPage.INFORMATIONAL_EXCEPTIONS, 0): _informational_exceptions,
}
"""By page and subpage code."""

COMMANDS: tuple[Command[Any, Any], ...] = (
    Command("LOG SENSE", Opcode.LOG_SENSE, LogSenseCdb, log_sense, access=Access.NOTHING),
)
