"""A SCSI command on its way through the target."""

from dataclasses import dataclass

from typing_extensions import Buffer

from twinlock.wire.iscsi_codes import TaskAttribute


@dataclass(slots=True, eq=False)
class Task:
    """One command; equal only to itself, since tags come again.  The owner changes nothing in it.

    ``aborted`` is set by task management or the end of the connection: what has
    not begun need not begin, and the completion, which is still owed, will not be sent.
    """

    initiator_task_tag: int
    lun: bytes
    """8 bytes (SAM-5, LUN structure)."""
    cdb: bytes
    """16 bytes (a shorter CDB is followed by zeros), or more for an extended one."""
    attribute: TaskAttribute
    immediate: bool
    read: bool
    write: bool
    expected_length: int
    """Bytes the initiator expects to move; 0 if it expects no data."""
    data_out: Buffer = b""
    """All of the initiator's data, gathered."""
    data_withheld: bool = False
    """The write is longer than ``limits.TRANSFER_LENGTH``: its data are not taken, it must be refused."""
    aborted: bool = False
    completed: bool = False
    pdu_count: int = 0
    """Data-In and R2T PDUs sent so far: DataSN, R2TSN and at the end ExpDataSN (RFC 7143 section 11.4.8)."""
