"""A device server: its facts, its commands, and the order in which a command is judged."""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from typing_extensions import Buffer

from twinlock.scsi.attentions import UnitAttentions
from twinlock.scsi.command import Call, Command, CommandSet, Outcome
from twinlock.scsi.copy_jobs import CopyJobs
from twinlock.scsi.geometry import Geometry, Limits
from twinlock.scsi.identity import Identity
from twinlock.scsi.mode_values import ModeValues
from twinlock.scsi.nexus import Nexus
from twinlock.scsi.operations import RESERVATION_CONFLICT, Result, Status
from twinlock.scsi.reservations.record import ReservationStore
from twinlock.scsi.reservations.reservations import Ending, Reservations
from twinlock.scsi.sense import Refusal, Sense, invalid_field, refuse
from twinlock.wire.scsi_inquiry import Peripheral
from twinlock.wire.scsi_sense import SenseCode
from twinlock.wire.structure import Malformed

_READ_6_BLOCKS = 256
VpdPages = Mapping[int, Callable[[Any], bytes]]


class Unit:
    """What every device server has, also one without a medium."""

    write_protection: SenseCode | None = None
    """Why commands that write are refused; None where they are not."""
    reservations: Reservations | None = None
    """What initiators have reserved; None where nothing can be."""
    descriptor_sense = False
    """D_SENSE of the Control mode page: sense data in descriptor format."""

    def __init__(
        self,
        identity: Identity,
        peripheral: Peripheral,
        commands: Iterable[Command[Any, Any]],
        *,
        vpd_pages: VpdPages,
        attentions: UnitAttentions,
        unknown: SenseCode = SenseCode.INVALID_COMMAND_OPERATION_CODE,
    ) -> None:
        self.identity = identity
        self.peripheral = peripheral
        self.vpd_pages = vpd_pages
        self.attentions = attentions
        self.luns: tuple[int, ...] = ()  # all logical units of the target, which sets it
        self.commands = CommandSet((each for each in commands if each.offered(self)), unknown=unknown)

    def start(self, nexus: Nexus, cdb: bytes, data_out: Buffer = b"") -> Outcome:
        """Judge a command: an operation to carry out, or its result at once.  Never raises for bad input.

        What comes first is told first (SAM-5, status precedence): a reset, a
        reservation conflict, any other unit attention, and then the CDB's own faults.
        """
        found = self.commands.find(cdb)
        exempt = isinstance(found, Command) and found.before_attention
        news = not exempt and self.attentions.pending(nexus)
        if news and (reset := self.attentions.take_reset(nexus)):
            return self.check_condition(Sense(reset))
        held = self.reservations
        if held is not None and held.in_use and self._conflicts(held, nexus, found, cdb):
            return RESERVATION_CONFLICT
        if news and (other := self.attentions.take(nexus)):
            return self.check_condition(Sense(other))
        if isinstance(found, Sense):
            return self.check_condition(found)
        try:
            return self._run(found, Call(self, nexus, data_out), cdb)
        except Refusal as refusal:
            return self.check_condition(refusal.sense, refusal.wanted)

    @staticmethod
    def _conflicts(
        reservations: Reservations, nexus: Nexus, command: Command[Any, Any] | Sense, cdb: bytes
    ) -> bool:
        if isinstance(command, Sense):  # there is no such command
            return False
        try:
            access = command.access_of(cdb)
        except Malformed:  # it will be refused for that
            return False
        return reservations.conflict(nexus, access)

    def _run(self, command: Command[Any, Any], call: Call[Any], cdb: bytes) -> Outcome:
        try:
            parsed = command.cdb.parse(cdb)
        except Malformed:  # shorter than its operation code says
            raise refuse(SenseCode.INVALID_FIELD_IN_CDB) from None
        if parsed.naca:  # NORMACA is 0 in the standard INQUIRY data
            raise invalid_field(parsed, "naca")
        if command.writes and self.write_protection is not None:
            raise refuse(self.write_protection)
        return command.run(call, parsed)

    def check_condition(self, sense: Sense, wanted: int = 0) -> Result:
        """CHECK CONDITION with ``sense`` in the format this unit uses."""
        data = sense.build(descriptor=self.descriptor_sense)
        return Result(Status.CHECK_CONDITION, sense=data, data_out_used=wanted)


class Disk(Unit):
    """A device server with a medium, which initiators may reserve and set up.

    ``read_only`` refuses every command that changes the medium, for good;
    ``mode`` is what the mode parameters are from the start and after each reset.
    """

    def __init__(
        self,
        identity: Identity,
        geometry: Geometry,
        commands: Iterable[Command[Any, Any]],
        *,
        limits: Limits,
        vpd_pages: VpdPages,
        read_only: bool = False,
        mode: ModeValues | None = None,
        reservations_store: ReservationStore | None = None,
    ) -> None:
        if limits.transfer < _READ_6_BLOCKS * geometry.block_size:
            raise ValueError("a disk must be able to move the 256 blocks of READ (6) at once")
        self.geometry = geometry
        self.limits = limits
        self.copies = CopyJobs()
        self.read_only = read_only
        self.default_mode = mode or ModeValues()
        attentions = UnitAttentions()
        self.reservations: Reservations = Reservations(attentions, identity.naa, reservations_store)
        super().__init__(identity, Peripheral.DISK, commands, vpd_pages=vpd_pages, attentions=attentions)
        self._mode_lock = threading.Lock()
        self.set_mode(self.default_mode)

    @property
    def transfer_blocks(self) -> int:
        """MAXIMUM TRANSFER LENGTH: logical blocks of one command."""
        return self.limits.transfer // self.geometry.block_size

    @property
    def write_same_blocks(self) -> int:
        """MAXIMUM WRITE SAME LENGTH: logical blocks of one command."""
        return self.limits.write_same // self.geometry.block_size

    def change_mode(self, mode: ModeValues, nexus: Nexus) -> ModeValues:
        """``nexus`` sets the mode parameters, and all others are told.  The values before."""
        with self._mode_lock:
            before = self.mode
            self.set_mode(mode)
        if before != mode:
            self.attentions.establish(SenseCode.MODE_PARAMETERS_CHANGED, but=nexus)
        return before

    def set_mode(self, mode: ModeValues) -> None:
        """The mode parameters are ``mode`` from now on, for all initiators."""
        self.mode = mode
        self.descriptor_sense = mode.descriptor_sense
        software = SenseCode.LOGICAL_UNIT_SOFTWARE_WRITE_PROTECTED if mode.software_write_protect else None
        self.write_protection = SenseCode.WRITE_PROTECTED if self.read_only else software

    def reset(self, told: SenseCode) -> Ending:
        """A reset (SAM-5): mode parameters are the default ones, all are told, and RESERVE ends.

        That last when what is returned is called: once the commands that were aborted have ended.
        """
        self.copies.clear()
        with self._mode_lock:
            self.set_mode(self.default_mode)
        self.attentions.reset(told)
        return self.reservations.reset()

    def power_on(self, told: SenseCode) -> Ending:
        """As :meth:`reset`, but reservations that were not to be kept end, too."""
        self.reset(told)
        return self.reservations.power_on

    def nexus_lost(self, nexus: Nexus) -> None:
        """What was bound to the session of ``nexus`` goes; persistent reservations stay (SPC-4 5.9)."""
        self.reservations.release(nexus)
        self.copies.forget(nexus)
        self.attentions.forget(nexus)
