"""PERSISTENT RESERVE OUT: the parameter list, taken apart into the request that a service action is."""

from collections.abc import Callable
from functools import partial
from typing import Any

from twinlock.scsi.command import Call, Command, Opcode, Outcome
from twinlock.scsi.nexus import Nexus
from twinlock.scsi.operations import AbortTasks, Later, Result, Status
from twinlock.scsi.reservations.access import Access
from twinlock.scsi.reservations.actions import ACTIONS, Conflict, Request
from twinlock.scsi.reservations.transport_ids import BadTransportId, Truncated, parse_transport_ids
from twinlock.scsi.sense import Refusal, invalid_parameter, refuse
from twinlock.scsi.transfer import data_received
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_reservation import (
    MoveParameters,
    PersistentRegisterCdb,
    PersistentReserveOutCdb,
    ReservationType,
    ReserveOut,
    ReserveOutParameters,
    TransportIdsLength,
)
from twinlock.wire.scsi_sense import SenseCode

OutCdb = PersistentRegisterCdb | PersistentReserveOutCdb

_TYPES = {kind.value: kind for kind in ReservationType}
_REGISTERING = frozenset({ReserveOut.REGISTER, ReserveOut.REGISTER_AND_IGNORE_EXISTING_KEY})
_PORTS_AT = ReserveOutParameters.SIZE
_PORT_IDS_AT = _PORTS_AT + TransportIdsLength.SIZE


def reserve_out(action: ReserveOut) -> Callable[[Call[Disk], OutCdb], Outcome]:
    """The function that carries out ``action``."""

    def run(call: Call[Disk], cdb: OutCdb) -> Outcome:
        wanted = cdb.parameter_list_length
        try:
            request = _request(action, call, cdb, data_received(call.data_out, wanted))
        except Refusal as refusal:
            raise Refusal(refusal.sense, wanted) from None
        change = partial(_change, call.unit, action, request, wanted)
        return Later(change) if call.unit.reservations.can_keep else change()

    return run


def _change(unit: Disk, action: ReserveOut, request: Request, wanted: int) -> Result | AbortTasks:
    """Carry ``action`` out; waits until it is kept, if it is to be."""
    try:
        change = unit.reservations.apply(ACTIONS[action], request)
    except Conflict:
        return Result(Status.RESERVATION_CONFLICT, data_out_used=wanted)
    except Refusal as refusal:
        return unit.check_condition(refusal.sense, wanted)
    if action is ReserveOut.PREEMPT_AND_ABORT and change.preempted:
        return AbortTasks(change.preempted, wanted)
    return Result(Status.GOOD, data_out_used=wanted)


def _request(action: ReserveOut, call: Call[Disk], cdb: OutCdb, data: memoryview) -> Request:
    if action is ReserveOut.REGISTER_AND_MOVE:
        return _move_request(call, data)
    if data.nbytes < ReserveOutParameters.SIZE:
        raise refuse(SenseCode.PARAMETER_LIST_LENGTH_ERROR)
    parameters = ReserveOutParameters.parse(data)
    ports = _specified_ports(action, call, parameters, data)
    if action not in _REGISTERING:
        return _reservation_request(call, cdb, parameters)
    _check_keep(call, parameters)
    return Request(
        call.nexus,
        parameters.reservation_key,
        parameters.service_action_key,
        keep=parameters.activate_persist,
        all_target_ports=parameters.all_target_ports,
        specifies_ports=parameters.specify_initiator_ports,
        ports=ports,
    )


def _reservation_request(call: Call[Disk], cdb: OutCdb, parameters: ReserveOutParameters) -> Request:
    """What concerns the reservation; a CDB without SCOPE and TYPE (CLEAR) has no use for them."""
    key, new_key = parameters.reservation_key, parameters.service_action_key
    if not isinstance(cdb, PersistentReserveOutCdb):
        return Request(call.nexus, key, new_key)
    return Request(call.nexus, key, new_key, _TYPES.get(cdb.type), cdb.scope)


def _specified_ports(
    action: ReserveOut, call: Call[Disk], parameters: ReserveOutParameters, data: memoryview
) -> tuple[Nexus, ...]:
    """The ports that SPEC_I_PT announces; without it the list has exactly 24 bytes (SPC-4 6.16.3)."""
    if not parameters.specify_initiator_ports:
        if data.nbytes != ReserveOutParameters.SIZE:
            raise refuse(SenseCode.PARAMETER_LIST_LENGTH_ERROR)
        return ()
    if action is not ReserveOut.REGISTER:
        raise invalid_parameter(ReserveOutParameters, "specify_initiator_ports")
    if data.nbytes < _PORT_IDS_AT:
        raise refuse(SenseCode.PARAMETER_LIST_LENGTH_ERROR)
    ids = data[_PORT_IDS_AT:]
    ports = _ports(ids, TransportIdsLength.parse(data, _PORTS_AT).length)
    if len(set(ports)) != len(ports):
        raise invalid_parameter(TransportIdsLength, "length", _PORTS_AT)
    return tuple(port for port in ports if port != call.nexus)


def _move_request(call: Call[Disk], data: memoryview) -> Request:
    if data.nbytes < MoveParameters.SIZE:
        raise refuse(SenseCode.PARAMETER_LIST_LENGTH_ERROR)
    parameters = MoveParameters.parse(data)
    ports = _ports(data[MoveParameters.SIZE :], parameters.transport_id_length)
    if len(ports) != 1:
        raise invalid_parameter(MoveParameters, "transport_id_length")
    if parameters.relative_target_port != call.unit.identity.portal_group:
        raise invalid_parameter(MoveParameters, "relative_target_port")
    _check_keep(call, parameters)
    return Request(
        call.nexus,
        parameters.reservation_key,
        parameters.service_action_key,
        keep=parameters.activate_persist,
        ports=ports,
        unregister=parameters.unregister,
    )


def _ports(ids: memoryview, length: int) -> tuple[Nexus, ...]:
    if ids.nbytes != length:
        raise refuse(SenseCode.PARAMETER_LIST_LENGTH_ERROR)
    try:
        return tuple(parse_transport_ids(bytes(ids)))
    except Truncated:
        raise refuse(SenseCode.PARAMETER_LIST_LENGTH_ERROR) from None
    except BadTransportId:
        raise refuse(SenseCode.INVALID_FIELD_IN_PARAMETER_LIST) from None


def _check_keep(call: Call[Disk], parameters: ReserveOutParameters | MoveParameters) -> None:
    if parameters.activate_persist and not call.unit.reservations.can_keep:
        raise invalid_parameter(type(parameters), "activate_persist")


_IGNORES_TYPE = _REGISTERING | {ReserveOut.CLEAR, ReserveOut.REGISTER_AND_MOVE}

COMMANDS: tuple[Command[Any, Any], ...] = tuple(
    Command(
        f"PERSISTENT RESERVE OUT ({action.name.replace('_', ' ')})",
        Opcode.PERSISTENT_RESERVE_OUT,
        PersistentRegisterCdb if action in _IGNORES_TYPE else PersistentReserveOutCdb,
        reserve_out(action),
        service_action=action,
        access=Access.PERSISTENT_RESERVE,
    )
    for action in ReserveOut
)
