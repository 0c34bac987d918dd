"""REPORT LUNS: which logical units the target has."""

from typing import Any

from twinlock.scsi.command import Call, Command, Opcode
from twinlock.scsi.operations import Result
from twinlock.scsi.reservations.access import Access
from twinlock.scsi.sense import invalid_field
from twinlock.scsi.transfer import reply
from twinlock.scsi.unit import Unit
from twinlock.wire.scsi_cdb import ReportLunsCdb
from twinlock.wire.scsi_data import LunListHeader
from twinlock.wire.scsi_lun import REPORT_LUNS_WELL_KNOWN, lun_bytes

_LEAST_ALLOCATION = 16

_SELECT: dict[int, tuple[bool, bool]] = {0: (True, False), 1: (False, True), 2: (True, True)}
"""SELECT REPORT: whether logical units, and whether well known ones, are listed."""


def report_luns(call: Call[Unit], cdb: ReportLunsCdb) -> Result:
    """The list, in ascending order; the same from every logical unit."""
    if cdb.select_report not in _SELECT:
        raise invalid_field(cdb, "select_report")
    if cdb.allocation_length < _LEAST_ALLOCATION:  # SPC-4: shall be at least 16
        raise invalid_field(cdb, "allocation_length")
    plain, well_known = _SELECT[cdb.select_report]
    luns = [lun_bytes(number) for number in call.unit.luns] if plain else []
    listed = b"".join([*luns, *([REPORT_LUNS_WELL_KNOWN] if well_known else [])])
    return reply(LunListHeader(lun_list_length=len(listed)).build() + listed, cdb.allocation_length)


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command(
        "REPORT LUNS",
        Opcode.REPORT_LUNS,
        ReportLunsCdb,
        report_luns,
        before_attention=True,
        access=Access.NOTHING,
    ),
)
