"""REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS: those that the transport and the server carry out."""

from typing import Any

from twinlock.scsi.command import Call, Command, Opcode
from twinlock.scsi.operations import Result
from twinlock.scsi.reservations.access import Access
from twinlock.scsi.sense import invalid_field
from twinlock.scsi.transfer import reply
from twinlock.scsi.unit import Unit
from twinlock.wire.scsi_cdb_state import ReportTaskManagementCdb
from twinlock.wire.scsi_data import TaskManagementFunctions, TaskManagementTimeouts

SERVICE_ACTION = 0x0D
_LEAST_ALLOCATION = 4


def report_task_management(call: Call[Unit], cdb: ReportTaskManagementCdb) -> Result:
    """One bit for each; with REPD also the timeouts, of which none is indicated."""
    if cdb.allocation_length < _LEAST_ALLOCATION:  # SPC-4: shall be at least 4
        raise invalid_field(cdb, "allocation_length")
    timeouts = TaskManagementTimeouts().build() if cdb.return_extended else b""
    functions = TaskManagementFunctions(additional_length=len(timeouts))
    return reply(functions.build() + timeouts, cdb.allocation_length)


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command(
        "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
        Opcode.MAINTENANCE_IN,
        ReportTaskManagementCdb,
        report_task_management,
        service_action=SERVICE_ACTION,
        access=Access.READ,
    ),
)
