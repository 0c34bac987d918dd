"""TEST UNIT READY, REQUEST SENSE, and the two commands that move a medium, which here is fixed."""

from typing import Any

from twinlock.scsi.command import Call, Command, Opcode, Outcome
from twinlock.scsi.operations import GOOD, Flush, Result
from twinlock.scsi.reservations.access import Access
from twinlock.scsi.sense import Sense, invalid_field
from twinlock.scsi.transfer import reply
from twinlock.scsi.unit import Disk, Unit
from twinlock.wire.scsi_cdb import (
    PreventAllowMediumRemovalCdb,
    RequestSenseCdb,
    StartStopUnitCdb,
    TestUnitReadyCdb,
)
from twinlock.wire.scsi_sense import SenseCode

_PREVENT_OF_A_CHANGER = 2


def test_unit_ready(call: Call[Unit], cdb: TestUnitReadyCdb) -> Result:
    """A unit that can be reached is ready."""
    return GOOD


def request_sense(call: Call[Unit], cdb: RequestSenseCdb) -> Result:
    """A pending unit attention, which is thereby reported; otherwise NO SENSE."""
    news = call.unit.attentions.take(call.nexus)
    sense = Sense(news or SenseCode.NO_ADDITIONAL_SENSE)
    return reply(sense.build(descriptor=cdb.descriptor_format), cdb.allocation_length)


def start_stop_unit(call: Call[Disk], cdb: StartStopUnitCdb) -> Outcome:
    """A stop flushes.  There is nothing to spin down or to eject, so the unit stays ready."""
    for absent in ("power_condition", "load_eject"):
        if getattr(cdb, absent):
            raise invalid_field(cdb, absent)
    return GOOD if cdb.start or cdb.no_flush else Flush()


def prevent_allow_medium_removal(call: Call[Disk], cdb: PreventAllowMediumRemovalCdb) -> Result:
    """Granted: a medium that cannot be removed will not be."""
    if cdb.prevent >= _PREVENT_OF_A_CHANGER:
        raise invalid_field(cdb, "prevent")
    return GOOD


def _access_of_start(cdb: StartStopUnitCdb) -> Access:
    """SBC-3: to start a unit is everybody's right, all else the holder's."""
    return Access.NOTHING if cdb.start and not cdb.power_condition else Access.WRITE


def _access_of_prevent(cdb: PreventAllowMediumRemovalCdb) -> Access:
    """SBC-3: to allow the removal is everybody's right, to prevent it the holder's."""
    return Access.WRITE if cdb.prevent else Access.NOTHING


PRIMARY: tuple[Command[Any, Any], ...] = (
    Command(
        "TEST UNIT READY", Opcode.TEST_UNIT_READY, TestUnitReadyCdb, test_unit_ready, access=Access.READINESS
    ),
    Command(
        "REQUEST SENSE",
        Opcode.REQUEST_SENSE,
        RequestSenseCdb,
        request_sense,
        before_attention=True,
        access=Access.NOTHING,
    ),
)
COMMANDS: tuple[Command[Any, Any], ...] = (
    *PRIMARY,
    Command(
        "START STOP UNIT",
        Opcode.START_STOP_UNIT,
        StartStopUnitCdb,
        start_stop_unit,
        access=_access_of_start,
    ),
    Command(
        "PREVENT ALLOW MEDIUM REMOVAL",
        Opcode.PREVENT_ALLOW_MEDIUM_REMOVAL,
        PreventAllowMediumRemovalCdb,
        prevent_allow_medium_removal,
        access=_access_of_prevent,
    ),
)
