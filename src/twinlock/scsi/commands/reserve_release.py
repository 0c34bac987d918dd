"""RESERVE and RELEASE (6) and (10) as SPC-2 has them: the whole unit, for one initiator, until it leaves."""

from typing import Any

from twinlock.scsi.command import Call, Command, Opcode
from twinlock.scsi.operations import GOOD, RESERVATION_CONFLICT, Result
from twinlock.scsi.reservations.access import Access
from twinlock.scsi.reservations.actions import Conflict
from twinlock.scsi.sense import invalid_field
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_reservation import Reserve6Cdb, Reserve10Cdb

ReserveCdb = Reserve6Cdb | Reserve10Cdb

_ABSENT = ("third_party", "extent", "long_id", "parameter_list_length")


def reserve(call: Call[Disk], cdb: ReserveCdb) -> Result:
    """The unit is reserved, again if it was; who holds it persistently gets GOOD and no more (CRH)."""
    _check(cdb)
    try:
        call.unit.reservations.reserve(call.nexus)
    except Conflict:
        return RESERVATION_CONFLICT
    return GOOD


def release(call: Call[Disk], cdb: ReserveCdb) -> Result:
    """The unit is no longer reserved by whom asks; GOOD also if it was not."""
    _check(cdb)
    call.unit.reservations.release(call.nexus)
    return GOOD


def _check(cdb: ReserveCdb) -> None:
    """Extents and third parties are not supported, as in every target that initiators know."""
    for name in _ABSENT:
        if name in cdb.FIELDS and getattr(cdb, name):
            raise invalid_field(cdb, name)


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command("RESERVE (6)", Opcode.RESERVE_6, Reserve6Cdb, reserve, access=Access.RESERVE),
    Command("RELEASE (6)", Opcode.RELEASE_6, Reserve6Cdb, release, access=Access.RELEASE),
    Command("RESERVE (10)", Opcode.RESERVE_10, Reserve10Cdb, reserve, access=Access.RESERVE),
    Command("RELEASE (10)", Opcode.RELEASE_10, Reserve10Cdb, release, access=Access.RELEASE),
)
