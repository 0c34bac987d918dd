"""REPORT SUPPORTED OPERATION CODES, told from the opcode table itself."""

from collections.abc import Callable
from enum import IntEnum
from typing import Any

from twinlock.scsi.command import Call, Command, CommandSet, Opcode
from twinlock.scsi.operations import Result
from twinlock.scsi.reservations.access import Access
from twinlock.scsi.sense import invalid_field
from twinlock.scsi.transfer import reply
from twinlock.scsi.unit import Unit
from twinlock.wire.scsi_cdb import ReportSupportedOperationCodesCdb
from twinlock.wire.scsi_data import AllCommandsHeader, CommandDescriptor, CommandTimeouts, OneCommandHeader

SERVICE_ACTION = 0x0C


class Options(IntEnum):
    """REPORTING OPTIONS."""

    ALL = 0
    BY_OPCODE = 1
    BY_SERVICE_ACTION = 2
    BY_EITHER = 3


class Support(IntEnum):
    """SUPPORT of one command."""

    NOT_SUPPORTED = 1
    AS_STANDARD = 3


def report_supported_operation_codes(call: Call[Unit], cdb: ReportSupportedOperationCodesCdb) -> Result:
    """All commands, or one with its CDB USAGE DATA."""
    commands = call.unit.commands
    if cdb.reporting_options == Options.ALL:
        data = _all_commands(commands, timeouts=cdb.return_timeouts)
    elif cdb.reporting_options in _FIND_ONE:
        found = _FIND_ONE[Options(cdb.reporting_options)](commands, cdb)
        data = _one_command(found, timeouts=cdb.return_timeouts)
    else:
        raise invalid_field(cdb, "reporting_options")
    return reply(data, cdb.allocation_length)


def _by_opcode(commands: CommandSet, cdb: ReportSupportedOperationCodesCdb) -> Command[Any, Any] | None:
    if commands.has_service_actions(cdb.requested_opcode):
        raise invalid_field(cdb, "requested_opcode")
    return commands.get(cdb.requested_opcode)


def _by_action(commands: CommandSet, cdb: ReportSupportedOperationCodesCdb) -> Command[Any, Any] | None:
    if commands.get(cdb.requested_opcode) is not None:  # it has no service actions
        raise invalid_field(cdb, "requested_opcode")
    return commands.get(cdb.requested_opcode, cdb.requested_service_action)


def _by_either(commands: CommandSet, cdb: ReportSupportedOperationCodesCdb) -> Command[Any, Any] | None:
    if commands.has_service_actions(cdb.requested_opcode):
        return commands.get(cdb.requested_opcode, cdb.requested_service_action)
    return None if cdb.requested_service_action else commands.get(cdb.requested_opcode)


_FIND_ONE: dict[
    Options, Callable[[CommandSet, ReportSupportedOperationCodesCdb], Command[Any, Any] | None]
] = {
    Options.BY_OPCODE: _by_opcode,
    Options.BY_SERVICE_ACTION: _by_action,
    Options.BY_EITHER: _by_either,
}


def _all_commands(commands: CommandSet, *, timeouts: bool) -> bytes:
    after = CommandTimeouts().build() if timeouts else b""
    listed = b"".join(
        CommandDescriptor(
            opcode=each.opcode,
            service_action=each.service_action or 0,
            service_action_valid=each.service_action is not None,
            timeouts_follow=timeouts,
            cdb_length=each.cdb.SIZE,
        ).build()
        + after
        for each in commands
    )
    return AllCommandsHeader(command_data_length=len(listed)).build() + listed


def _one_command(command: Command[Any, Any] | None, *, timeouts: bool) -> bytes:
    if command is None:
        return OneCommandHeader(support=Support.NOT_SUPPORTED).build()
    header = OneCommandHeader(
        support=Support.AS_STANDARD, timeouts_follow=timeouts, cdb_size=command.cdb.SIZE
    )
    return header.build() + command.usage + (CommandTimeouts().build() if timeouts else b"")


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command(
        "REPORT SUPPORTED OPERATION CODES",
        Opcode.MAINTENANCE_IN,
        ReportSupportedOperationCodesCdb,
        report_supported_operation_codes,
        service_action=SERVICE_ACTION,
        access=Access.READ,
    ),
)
