"""The tables of SPC-4 and SBC-3, written down a second time, command by command."""

import pytest

from tests.unit.scsi.reservations.support import (
    EA,
    EA_AR,
    EA_RO,
    IGNORE,
    RESERVE,
    TYPES,
    WE,
    WE_AR,
    WE_RO,
    allowed,
    done,
    new_unit,
    out,
)
from tests.unit.scsi.support import A, B, C
from twinlock.scsi.logical_unit import COMMANDS
from twinlock.scsi.reservations.access import EXCLUSIVE, PERSISTENT, Access, Standing
from twinlock.wire.scsi_reservation import ReservationType

TABLE = """
    00 TEST UNIT READY                 A A A A A  C
    03 REQUEST SENSE                   A A A A A  A
    08 READ (6)                        A C A A C  C
    0A WRITE (6)                       C C A C C  C
    12 INQUIRY                         A A A A A  A
    15 MODE SELECT (6)                 C C A C C  C
    1A MODE SENSE (6)                  A C A A C  C
    25 READ CAPACITY (10)              A A A A A  A
    28 READ (10)                       A C A A C  C
    2A WRITE (10)                      C C A C C  C
    2E WRITE AND VERIFY (10)           C C A C C  C
    2F VERIFY (10)                     A C A A C  C
    34 PRE-FETCH (10)                  A C A A C  C
    35 SYNCHRONIZE CACHE (10)          C C A C C  C
    37 READ DEFECT DATA (10)           A C A A C  C
    41 WRITE SAME (10)                 C C A C C  C
    42 UNMAP                           C C A C C  C
    4D LOG SENSE                       A A A A A  A
    55 MODE SELECT (10)                C C A C C  C
    5A MODE SENSE (10)                 A C A A C  C
    5E/00 PERSISTENT RESERVE IN        A A A A A  C
    5E/01 PERSISTENT RESERVE IN        A A A A A  C
    5E/02 PERSISTENT RESERVE IN        A A A A A  C
    5E/03 PERSISTENT RESERVE IN        A A A A A  C
    83/00 EXTENDED COPY                C C A C C  C
    84/00 RECEIVE COPY RESULTS         A C A A C  C
    84/03 RECEIVE COPY RESULTS         A C A A C  C
    84/04 RECEIVE COPY RESULTS         A C A A C  C
    88 READ (16)                       A C A A C  C
    89 COMPARE AND WRITE               C C A C C  C
    8A WRITE (16)                      C C A C C  C
    8B ORWRITE (16)                    C C A C C  C
    8E WRITE AND VERIFY (16)           C C A C C  C
    8F VERIFY (16)                     A C A A C  C
    90 PRE-FETCH (16)                  A C A A C  C
    91 SYNCHRONIZE CACHE (16)          C C A C C  C
    93 WRITE SAME (16)                 C C A C C  C
    9E/10 READ CAPACITY (16)           A A A A A  A
    9E/12 GET LBA STATUS               A C A A C  C
    A0 REPORT LUNS                     A A A A A  A
    A3/0C REPORT SUPPORTED OPCODES     A C A A C  C
    A3/0D REPORT SUPPORTED TMF         A C A A C  C
    A8 READ (12)                       A C A A C  C
    AA WRITE (12)                      C C A C C  C
    AE WRITE AND VERIFY (12)           C C A C C  C
    AF VERIFY (12)                     A C A A C  C
    B7 READ DEFECT DATA (12)           A C A A C  C
"""
"""A (allowed) or C (conflict): write exclusive, exclusive access; registrants only and all registrants for
who is registered, for strangers of the write exclusive and of the exclusive access ones; SPC-2 RESERVE."""

BY_CDB = {
    "1B start": ("1b0000000100", "AAAAA A"),
    "1B stop": ("1b0000000000", "CCACC C"),
    "1B start, with a power condition": ("1b0000001100", "CCACC C"),
    "1E allow": ("1e0000000000", "AAAAA A"),
    "1E prevent": ("1e0000000100", "CCACC C"),
}
JUDGED_BY_ITSELF = {0x16, 0x17, 0x56, 0x57, 0x5F}
"""RESERVE, RELEASE and PERSISTENT RESERVE OUT have rules of their own."""


def rows() -> dict[tuple[int, int | None], str]:
    found = {}
    for line in TABLE.strip().splitlines():
        code, *_, first, second, third, fourth, fifth, sixth = line.split()
        opcode, _, action = code.partition("/")
        columns = "".join([first, second, third, fourth, fifth, sixth])
        found[int(opcode, 16), int(action, 16) if action else None] = columns
    return found


ROWS = rows()


def test_every_command_is_in_the_table() -> None:
    served = {(each.opcode.value, each.service_action) for each in COMMANDS}
    conditional = {0x1B, 0x1E}
    listed = {key for key in served if key[0] not in JUDGED_BY_ITSELF | conditional}
    assert listed == set(ROWS)


def cdb_of(opcode: int, action: int | None) -> bytes:
    command = next(each for each in COMMANDS if (each.opcode, each.service_action) == (opcode, action))
    return bytes([opcode, action or 0]) + bytes(command.cdb.SIZE - 2)


def verdicts(cdb: bytes) -> str:
    """The six columns for one CDB, as a unit answers."""
    found = ""
    for kind, who in [(WE, B), (EA, B), (WE_RO, B), (WE_RO, C), (EA_RO, C)]:
        both = {kind, {WE_RO: WE_AR, EA_RO: EA_AR}.get(kind, kind)}
        found += "".join({reserved(each, who, cdb) for each in both})
    unit = new_unit(A, B)
    unit.start(A, bytes([0x16, 0, 0, 0, 0, 0]))
    return found + _verdict(unit.start(B, cdb))


def reserved(kind: int, who: object, cdb: bytes) -> str:
    """What ``who`` (B is registered, C is not) gets under a reservation of ``kind`` by A."""
    unit = new_unit(A, B, C)
    done(out(unit, A, IGNORE, 0, 1))
    done(out(unit, B, IGNORE, 0, 2))
    done(out(unit, A, RESERVE, 1, kind=kind))
    assert _verdict(unit.start(A, cdb)) == "A", "the holder may do everything"
    return _verdict(unit.start(B if who is B else C, cdb))


def _verdict(outcome: object) -> str:
    status = getattr(outcome, "status", None)
    return "C" if status == 0x18 else "A"


@pytest.mark.parametrize(("key", "columns"), ROWS.items(), ids=str)
def test_commands(key: tuple[int, int | None], columns: str) -> None:
    assert verdicts(cdb_of(*key)) == columns


@pytest.mark.parametrize(("cdb", "columns"), BY_CDB.values(), ids=BY_CDB)
def test_commands_that_depend_on_a_field(cdb: str, columns: str) -> None:
    assert verdicts(bytes.fromhex(cdb)) == columns.replace(" ", "")


def test_the_tables_answer_every_question() -> None:
    assert set(PERSISTENT) == {(kind, standing) for kind in ReservationType for standing in Standing}
    assert {kind.value for kind in ReservationType} == set(TYPES)
    holder = {PERSISTENT[kind, Standing.HOLDER] for kind in ReservationType}
    assert holder == {frozenset(Access)}
    for kind in ReservationType:
        assert PERSISTENT[kind, Standing.STRANGER] <= PERSISTENT[kind, Standing.REGISTRANT]
    assert EXCLUSIVE[Standing.STRANGER] < EXCLUSIVE[Standing.HOLDER]


@pytest.mark.parametrize("kind", TYPES)
def test_exclusive_access_and_write_exclusive_by_reads_and_writes(kind: int) -> None:
    """The six types by their names."""
    unit = new_unit(A, B, C)
    done(out(unit, A, IGNORE, 0, 1))
    done(out(unit, B, IGNORE, 0, 2))
    done(out(unit, A, RESERVE, 1, kind=kind))
    read, write = bytes.fromhex("28000000000000000100"), bytes.fromhex("2a000000000000000100")
    shared = kind in (WE_RO, EA_RO, WE_AR, EA_AR)
    readable = kind in (WE, WE_RO, WE_AR)
    assert [allowed(unit.start(A, cdb, bytes(512))) for cdb in (read, write)] == [True, True]
    assert [allowed(unit.start(B, cdb, bytes(512))) for cdb in (read, write)] == [shared or readable, shared]
    assert [allowed(unit.start(C, cdb, bytes(512))) for cdb in (read, write)] == [readable, False]
