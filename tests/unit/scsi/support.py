"""A small disk, and sense data taken apart by hand (not by the code under test)."""

from typing import NamedTuple

from twinlock.scsi.command import Outcome
from twinlock.scsi.geometry import Geometry
from twinlock.scsi.identity import Identity
from twinlock.scsi.logical_unit import LogicalUnit
from twinlock.scsi.nexus import Nexus
from twinlock.scsi.operations import Result, Status

UUID = bytes(range(16))
TARGET = "iqn.2026-11.io.twinlock:backup"
NEXUS = Nexus("iqn.2026-11.test:host", bytes.fromhex("400001370000"))
A, B, C = (Nexus(f"iqn.2026-11.test:{each}", bytes(6)) for each in "abc")
BLOCKS = 20480
BLOCK = 512

LBA_OUT_OF_RANGE = (5, 0x21, 0)
INVALID_FIELD = (5, 0x24, 0)
INVALID_OPCODE = (5, 0x20, 0)
SHORT_DATA = (5, 0x0E, 3)
POWER_ON = (6, 0x29, 0)


class Fault(NamedTuple):
    """Sense data in either format."""

    code: tuple[int, int, int]
    information: int | None
    field: tuple[int, int | None] | None
    """Byte and bit of the CDB that were refused."""
    parameter: tuple[int, int | None] | None = None
    """The same of the parameter list."""


def disk(geometry: Geometry | None = None, *, read_only: bool = False, attended: bool = True) -> LogicalUnit:
    """A disk that ``NEXUS`` has been told of already, unless not ``attended``."""
    identity = Identity.of_array(UUID, target_name=TARGET)
    unit = LogicalUnit(identity, geometry or Geometry(BLOCKS), read_only=read_only)
    if attended:
        assert fault(unit.start(NEXUS, bytes(6))).code == POWER_ON
    return unit


def run(unit: LogicalUnit, cdb: bytes, data_out: bytes = b"") -> Outcome:
    return unit.start(NEXUS, cdb, data_out)


def good(outcome: Outcome) -> bytes:
    """The data-in of a command that ended well at once."""
    assert isinstance(outcome, Result), outcome
    assert outcome.status is Status.GOOD, fault(outcome)
    assert outcome.sense == b""
    return bytes(outcome.data_in)


def fault(outcome: Outcome) -> Fault:
    """The sense data of a command that was refused or failed."""
    assert isinstance(outcome, Result), outcome
    assert outcome.status is Status.CHECK_CONDITION
    assert bytes(outcome.data_in) == b""
    return sense_of(outcome.sense)


def sense_of(data: bytes) -> Fault:
    return _fixed(data) if data[0] & 0x7F == 0x70 else _descriptor(data)


def _fixed(data: bytes) -> Fault:
    assert len(data) == 18 == data[7] + 8
    information = int.from_bytes(data[3:7], "big") if data[0] & 0x80 else None
    return Fault((data[2] & 0xF, data[12], data[13]), information, *_pointers(data[15:18]))


def _descriptor(data: bytes) -> Fault:
    assert data[0] == 0x72
    assert len(data) == data[7] + 8
    information, pointers, rest = None, bytes(3), data[8:]
    while rest:
        if rest[0] == 0x00:
            assert rest[1:3] == b"\x0a\x80"
            information = int.from_bytes(rest[4:12], "big")
        elif rest[0] == 0x02:
            pointers = rest[4:7]
        rest = rest[rest[1] + 2 :]
    return Fault((data[1] & 0xF, data[2], data[3]), information, *_pointers(pointers))


Pointer = tuple[int, int | None] | None


def _pointers(data: bytes) -> tuple[Pointer, Pointer]:
    """What a field pointer says of the CDB, and of the parameter list: one of them at most."""
    if not data[0] & 0x80:
        return None, None
    pointer = int.from_bytes(data[1:3], "big"), data[0] & 7 if data[0] & 8 else None
    return (pointer, None) if data[0] & 0x40 else (None, pointer)
