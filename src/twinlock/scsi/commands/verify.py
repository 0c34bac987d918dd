"""VERIFY in its three lengths: is it readable, and is it what the initiator thinks?"""

from collections.abc import Callable
from enum import IntEnum
from typing import Any

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
    sent = _BLOCKS_SENT[ByteCheck(cdb.byte_check)](count) * size
    compare = data_received(call.data_out, sent) if sent else None
    return Verify(cdb.logical_block_address * size, count * size, compare, sent)


_BLOCKS_SENT: dict[ByteCheck, Callable[[int], int]] = {
    ByteCheck.MEDIUM_ONLY: lambda count: 0,
    ByteCheck.ALL_BLOCKS: lambda count: count,
    ByteCheck.ONE_BLOCK: lambda count: 1,
}
"""Logical blocks of data-out, for a range of ``count``."""


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command("VERIFY (10)", Opcode.VERIFY_10, Verify10Cdb, verify, access=Access.READ),
    Command("VERIFY (12)", Opcode.VERIFY_12, Verify12Cdb, verify, access=Access.READ),
    Command("VERIFY (16)", Opcode.VERIFY_16, Verify16Cdb, verify, access=Access.READ),
)
