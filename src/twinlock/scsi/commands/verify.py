"""VERIFY in its three lengths: is it readable, and is it what the initiator thinks?"""

from enum import IntEnum
from typing import Any

from typing_extensions import Buffer

from twinlock.scsi.command import Call, Command, Opcode, Outcome
from twinlock.scsi.operations import GOOD, Verify
from twinlock.scsi.reservations.access import Access
from twinlock.scsi.sense import invalid_field
from twinlock.scsi.transfer import check_transfer, data_received
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_cdb import Verify10Cdb, Verify12Cdb, Verify16Cdb

VerifyCdb = Verify10Cdb | Verify12Cdb | Verify16Cdb


class ByteCheck(IntEnum):
    """BYTCHK: what the medium is compared with."""

    MEDIUM_ONLY = 0
    ALL_BLOCKS = 1
    ONE_BLOCK = 3


def verify(call: Call[Disk], cdb: VerifyCdb) -> Outcome:
    """An operation that reads, and compares where data-out came along."""
    disk, count = call.unit, cdb.transfer_length
    if cdb.byte_check not in tuple(ByteCheck):
        raise invalid_field(cdb, "byte_check")
    check_transfer(disk, cdb)
    if not count:
        return GOOD
    size = disk.geometry.block_size
    compare, wanted = _comparison(call, ByteCheck(cdb.byte_check), count)
    return Verify(cdb.logical_block_address * size, count * size, compare, wanted)


def _comparison(call: Call[Disk], check: ByteCheck, count: int) -> tuple[Buffer | None, int]:
    """What the range has to equal, and how much of it the initiator sends."""
    size = call.unit.geometry.block_size
    if check is ByteCheck.MEDIUM_ONLY:
        return None, 0
    if check is ByteCheck.ONE_BLOCK:
        return bytes(data_received(call.data_out, size)) * count, size
    return data_received(call.data_out, count * size), count * size


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command("VERIFY (10)", Opcode.VERIFY_10, Verify10Cdb, verify, access=Access.READ),
    Command("VERIFY (12)", Opcode.VERIFY_12, Verify12Cdb, verify, access=Access.READ),
    Command("VERIFY (16)", Opcode.VERIFY_16, Verify16Cdb, verify, access=Access.READ),
)
