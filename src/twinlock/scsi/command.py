"""The table's form: a command is an opcode, a declared CDB, and a function.

A device server is a set of such commands.  Adding one to a logical unit means a
declaration in ``wire.scsi_cdb``, a function, and a line in the table of its
module; REPORT SUPPORTED OPERATION CODES follows by itself.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Generic, TypeVar

from typing_extensions import Buffer

from twinlock.scsi.nexus import Nexus
from twinlock.scsi.operations import Operation, Result
from twinlock.scsi.reservations.access import Access
from twinlock.scsi.sense import Sense
from twinlock.wire.scsi_cdb import Cdb, usage_map
from twinlock.wire.scsi_sense import FieldPointer, SenseCode

Outcome = Operation | Result
U = TypeVar("U")
C = TypeVar("C", bound=Cdb)

_SERVICE_ACTION = 0x1F
_BAD_SERVICE_ACTION = Sense(SenseCode.INVALID_FIELD_IN_CDB, field=FieldPointer(byte=1, bit_valid=True, bit=4))


class Opcode(IntEnum):
    """OPERATION CODE, byte 0 of a CDB (SPC-4 and SBC-3, tables of commands)."""

    TEST_UNIT_READY = 0x00
    REQUEST_SENSE = 0x03
    READ_6 = 0x08
    WRITE_6 = 0x0A
    INQUIRY = 0x12
    MODE_SELECT_6 = 0x15
    RESERVE_6 = 0x16
    RELEASE_6 = 0x17
    MODE_SENSE_6 = 0x1A
    START_STOP_UNIT = 0x1B
    PREVENT_ALLOW_MEDIUM_REMOVAL = 0x1E
    READ_CAPACITY_10 = 0x25
    READ_10 = 0x28
    WRITE_10 = 0x2A
    VERIFY_10 = 0x2F
    WRITE_AND_VERIFY_10 = 0x2E
    PRE_FETCH_10 = 0x34
    SYNCHRONIZE_CACHE_10 = 0x35
    READ_DEFECT_DATA_10 = 0x37
    WRITE_SAME_10 = 0x41
    UNMAP = 0x42
    LOG_SENSE = 0x4D
    MODE_SELECT_10 = 0x55
    RESERVE_10 = 0x56
    RELEASE_10 = 0x57
    MODE_SENSE_10 = 0x5A
    PERSISTENT_RESERVE_IN = 0x5E
    PERSISTENT_RESERVE_OUT = 0x5F
    EXTENDED_COPY = 0x83
    RECEIVE_COPY_RESULTS = 0x84
    READ_16 = 0x88
    COMPARE_AND_WRITE = 0x89
    WRITE_16 = 0x8A
    ORWRITE_16 = 0x8B
    WRITE_AND_VERIFY_16 = 0x8E
    VERIFY_16 = 0x8F
    PRE_FETCH_16 = 0x90
    SYNCHRONIZE_CACHE_16 = 0x91
    WRITE_SAME_16 = 0x93
    SERVICE_ACTION_IN_16 = 0x9E
    REPORT_LUNS = 0xA0
    MAINTENANCE_IN = 0xA3
    READ_12 = 0xA8
    WRITE_12 = 0xAA
    WRITE_AND_VERIFY_12 = 0xAE
    VERIFY_12 = 0xAF
    READ_DEFECT_DATA_12 = 0xB7


@dataclass(frozen=True, slots=True)
class Call(Generic[U]):
    """One command on its way: the unit it reached, who sent it, and with what data."""

    unit: U
    nexus: Nexus
    data_out: Buffer


@dataclass(frozen=True, slots=True)
class Command(Generic[U, C]):
    """A row of the table.  ``run`` gets the parsed CDB and may raise a Refusal."""

    name: str
    opcode: Opcode
    cdb: type[C]
    run: Callable[[Call[U], C], Outcome]
    service_action: int | None = None
    writes: bool = False
    """Changes the medium, so a write-protected unit refuses it."""
    before_attention: bool = False
    """Runs although a unit attention is pending (SAM-5, unit attention condition)."""
    offered: Callable[[U], bool] = lambda unit: True
    """Whether a unit, as it is set up, has the command at all."""
    access: Access | Callable[[C], Access] = Access.WRITE
    """What a reservation has to allow; unless stated, what only holders may do."""

    def access_of(self, cdb: bytes) -> Access:
        """The access that one CDB needs; it is taken apart only if that depends on it.  Raises Malformed."""
        return self.access if isinstance(self.access, Access) else self.access(self.cdb.parse(cdb))

    @property
    def usage(self) -> bytes:
        """Its CDB USAGE DATA."""
        return usage_map(self.cdb, self.opcode, self.service_action)


class CommandSet:
    """The commands of one device server, found by operation code and service action."""

    def __init__(self, commands: Iterable[Command[Any, Any]], *, unknown: SenseCode) -> None:
        """``unknown`` answers every operation code that is not among ``commands``."""
        self._commands = tuple(sorted(commands, key=lambda each: (each.opcode, each.service_action or 0)))
        self._unknown = Sense(unknown)
        self._plain = {each.opcode.value: each for each in self if each.service_action is None}
        self._by_action = {
            (each.opcode.value, each.service_action): each for each in self if each.service_action is not None
        }
        self._opcodes_with_actions = {opcode for opcode, _ in self._by_action}

    def __iter__(self) -> Iterator[Command[Any, Any]]:
        return iter(self._commands)

    def find(self, cdb: bytes) -> Command[Any, Any] | Sense:
        """The command that ``cdb`` asks for, or the sense data that say why there is none."""
        opcode = cdb[0] if cdb else -1
        if (plain := self._plain.get(opcode)) is not None:
            return plain
        if opcode not in self._opcodes_with_actions:
            return self._unknown
        action = cdb[1] & _SERVICE_ACTION if len(cdb) > 1 else 0
        return self._by_action.get((opcode, action), _BAD_SERVICE_ACTION)

    def has_service_actions(self, opcode: int) -> bool:
        """Whether the commands of ``opcode`` are told apart by a service action."""
        return opcode in self._opcodes_with_actions

    def get(self, opcode: int, service_action: int | None = None) -> Command[Any, Any] | None:
        """The command of ``opcode`` (and ``service_action``, for one that has them)."""
        if service_action is None:
            return self._plain.get(opcode)
        return self._by_action.get((opcode, service_action))
