"""A device server: its facts, its commands, and the order in which a command is judged."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from typing_extensions import Buffer

from twinlock.scsi.attentions import Nexus, UnitAttentions
from twinlock.scsi.command import Call, Command, CommandSet, Outcome
from twinlock.scsi.geometry import Geometry, Limits
from twinlock.scsi.identity import Identity
from twinlock.scsi.operations import Result, Status
from twinlock.scsi.sense import Refusal, Sense, invalid_field, refuse
from twinlock.wire.scsi_inquiry import Peripheral
from twinlock.wire.scsi_sense import SenseCode
from twinlock.wire.structure import Malformed

_READ_6_BLOCKS = 256
VpdPages = Mapping[int, Callable[[Any], bytes]]


class Unit:
    """What every device server has, also one without a medium."""

    write_protected = False
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
        """Judge a command: an operation to carry out, or its result at once.  Never raises for bad input."""
        found = self.commands.find(cdb)
        exempt = isinstance(found, Command) and found.before_attention
        if not exempt and (news := self.attentions.take(nexus)):
            return self.check_condition(Sense(news))
        if isinstance(found, Sense):
            return self.check_condition(found)
        try:
            return self._run(found, Call(self, nexus, data_out), cdb)
        except Refusal as refusal:
            return self.check_condition(refusal.sense, refusal.wanted)

    def _run(self, command: Command[Any, Any], call: Call[Any], cdb: bytes) -> Outcome:
        try:
            parsed = command.cdb.parse(cdb)
        except Malformed:  # shorter than its operation code says
            raise refuse(SenseCode.INVALID_FIELD_IN_CDB) from None
        if parsed.naca:  # NORMACA is 0 in the standard INQUIRY data
            raise invalid_field(parsed, "naca")
        if command.writes and self.write_protected:
            raise refuse(SenseCode.WRITE_PROTECTED)
        return command.run(call, parsed)

    def check_condition(self, sense: Sense, wanted: int = 0) -> Result:
        """CHECK CONDITION with ``sense`` in the format this unit uses."""
        data = sense.build(descriptor=self.descriptor_sense)
        return Result(Status.CHECK_CONDITION, sense=data, data_out_used=wanted)


class Disk(Unit):
    """A device server with a medium."""

    def __init__(
        self,
        identity: Identity,
        geometry: Geometry,
        commands: Iterable[Command[Any, Any]],
        *,
        limits: Limits,
        vpd_pages: VpdPages,
    ) -> None:
        if limits.transfer < _READ_6_BLOCKS * geometry.block_size:
            raise ValueError("a disk must be able to move the 256 blocks of READ (6) at once")
        self.geometry = geometry
        self.limits = limits
        super().__init__(
            identity, Peripheral.DISK, commands, vpd_pages=vpd_pages, attentions=UnitAttentions()
        )

    @property
    def transfer_blocks(self) -> int:
        """MAXIMUM TRANSFER LENGTH: logical blocks of one command."""
        return self.limits.transfer // self.geometry.block_size
