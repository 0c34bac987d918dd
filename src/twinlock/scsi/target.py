"""A target: LUNs lead to logical units, and what concerns several of them is done here."""

from collections.abc import Iterable, Mapping

from typing_extensions import Buffer

from twinlock.scsi import vpd
from twinlock.scsi.attentions import UnitAttentions
from twinlock.scsi.command import Call, Command, Opcode, Outcome
from twinlock.scsi.commands import inquiry, report_luns, unit_state
from twinlock.scsi.identity import Identity
from twinlock.scsi.logical_unit import LogicalUnit
from twinlock.scsi.nexus import Nexus
from twinlock.scsi.operations import Result
from twinlock.scsi.reservations.reservations import Ending
from twinlock.scsi.sense import Sense
from twinlock.scsi.transfer import reply
from twinlock.scsi.unit import Unit
from twinlock.wire.scsi_cdb import RequestSenseCdb
from twinlock.wire.scsi_inquiry import Peripheral
from twinlock.wire.scsi_lun import REPORT_LUNS_WELL_KNOWN, lun_number
from twinlock.wire.scsi_sense import SenseCode


def _request_sense_of_nothing(call: Call[Unit], cdb: RequestSenseCdb) -> Result:
    """SPC-4: the sense data, not the status, say that the logical unit is not there."""
    sense = Sense(SenseCode.LOGICAL_UNIT_NOT_SUPPORTED)
    return reply(sense.build(descriptor=cdb.descriptor_format), cdb.allocation_length)


_WELL_KNOWN_COMMANDS = (*unit_state.PRIMARY, *inquiry.COMMANDS, *report_luns.COMMANDS)
_COMMANDS_OF_NOTHING = (
    Command(
        "REQUEST SENSE",
        Opcode.REQUEST_SENSE,
        RequestSenseCdb,
        _request_sense_of_nothing,
        before_attention=True,
    ),
    *inquiry.COMMANDS,
    *report_luns.COMMANDS,
)


class ScsiTarget:
    """The logical units of one target, by number; LUN 0 must be among them (SAM-5)."""

    def __init__(self, luns: Mapping[int, LogicalUnit]) -> None:
        if 0 not in luns:
            raise ValueError("a target has a LUN 0")
        self._units = dict(sorted(luns.items()))
        identity = self._units[0].identity
        self._well_known = _reporter(identity)
        self._nothing = _nothing(identity)
        for unit in (*self._units.values(), self._well_known, self._nothing):
            unit.luns = tuple(self._units)

    def start(self, nexus: Nexus, lun: bytes, cdb: bytes, data_out: Buffer = b"") -> Outcome:
        """Start a command at ``lun`` (8 bytes).  An operation is finished by :meth:`unit` of the same LUN."""
        if (unit := self.unit(lun)) is not None:
            return unit.start(nexus, cdb, data_out)
        other = self._well_known if lun == REPORT_LUNS_WELL_KNOWN else self._nothing
        return other.start(nexus, cdb, data_out)

    def unit(self, lun: bytes) -> LogicalUnit | None:
        """The logical unit at ``lun`` (8 bytes), if there is one."""
        number = lun_number(lun)
        return None if number is None else self._units.get(number)

    def logical_unit_reset(self, lun: bytes) -> Ending | None:
        """LOGICAL UNIT RESET: every initiator is told.  None if there is no such unit.

        What is returned is to be called once the commands that were aborted have ended.
        """
        unit = self.unit(lun)
        return None if unit is None else unit.reset(SenseCode.BUS_DEVICE_RESET_FUNCTION_OCCURRED)

    def target_reset(self, *, cold: bool) -> Ending:
        """TARGET WARM RESET or TARGET COLD RESET: every initiator is told, by every unit.

        A cold reset is a power on to the units (RFC 7143 section 11.5.1).  What is returned is to be called
        once the commands that were aborted have ended.
        """
        endings = [_power_on(unit) if cold else _reset(unit) for unit in self._units.values()]

        def end() -> None:
            for ending in endings:
                ending()

        return end

    def commands_cleared(self, lun: bytes, nexuses: Iterable[Nexus]) -> bool:
        """CLEAR TASK SET took commands of ``nexuses`` (not the one that asked).  False if no such unit."""
        unit = self.unit(lun)
        if unit is not None:
            unit.attentions.establish(SenseCode.COMMANDS_CLEARED_BY_ANOTHER_INITIATOR, nexuses)
        return unit is not None

    def nexus_lost(self, nexus: Nexus) -> None:
        """The session of ``nexus`` ended: its state goes.  Should it return, it starts anew."""
        for unit in self._units.values():
            unit.nexus_lost(nexus)
        for reporter in (self._well_known, self._nothing):
            reporter.attentions.forget(nexus)


def _power_on(unit: LogicalUnit) -> Ending:
    return unit.power_on(SenseCode.POWER_ON_OCCURRED)


def _reset(unit: LogicalUnit) -> Ending:
    return unit.reset(SenseCode.BUS_RESET_OCCURRED)


def _reporter(identity: Identity) -> Unit:
    return Unit(
        identity,
        Peripheral.WELL_KNOWN_LOGICAL_UNIT,
        _WELL_KNOWN_COMMANDS,
        vpd_pages=vpd.WELL_KNOWN_PAGES,
        attentions=UnitAttentions(at_first=()),
    )


def _nothing(identity: Identity) -> Unit:
    return Unit(
        identity,
        Peripheral.NOTHING_HERE,
        _COMMANDS_OF_NOTHING,
        vpd_pages={},
        attentions=UnitAttentions(at_first=()),
        unknown=SenseCode.LOGICAL_UNIT_NOT_SUPPORTED,
    )
