"""PERSISTENT RESERVE IN: who is registered, and what is reserved."""

from typing import Any

from twinlock.scsi.command import Call, Command, Opcode
from twinlock.scsi.operations import Result
from twinlock.scsi.reservations.access import Access
from twinlock.scsi.reservations.state import Registration, State
from twinlock.scsi.reservations.transport_ids import transport_id
from twinlock.scsi.transfer import reply
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_reservation import (
    Capabilities,
    FullStatusDescriptor,
    PersistentReserveInCdb,
    ReservationDescriptor,
    ReservationKey,
    ReserveIn,
    ReserveInHeader,
)

_NO_KEY = Registration(0)


def read_keys(call: Call[Disk], cdb: PersistentReserveInCdb) -> Result:
    """The key of every registration, in the order they were made."""
    state = call.unit.reservations.state
    keys = (ReservationKey(key=each.key).build() for each in state.registrations.values())
    return _reply(state, b"".join(keys), cdb)


def read_reservation(call: Call[Disk], cdb: PersistentReserveInCdb) -> Result:
    """The reservation with its holder's key, if there is one."""
    state = call.unit.reservations.state
    held = state.reservation
    if held is None:
        return _reply(state, b"", cdb)
    holder = _NO_KEY if held.holder is None else state.registrations[held.holder]
    return _reply(state, ReservationDescriptor(key=holder.key, type=held.type).build(), cdb)


def report_capabilities(call: Call[Disk], cdb: PersistentReserveInCdb) -> Result:
    """All types, all of the options; only APTPL needs a place to keep them."""
    reservations = call.unit.reservations
    capabilities = Capabilities(persist_capable=reservations.can_keep, persist_active=reservations.state.kept)
    return reply(capabilities.build(), cdb.allocation_length)


def read_full_status(call: Call[Disk], cdb: PersistentReserveInCdb) -> Result:
    """Every registration with its initiator port, and which of them hold the reservation."""
    state = call.unit.reservations.state
    port = call.unit.identity.portal_group
    return _reply(state, b"".join(_full_status(state, port)), cdb)


def _full_status(state: State, target_port: int) -> list[bytes]:
    found = []
    for nexus, each in state.registrations.items():
        port_id = transport_id(nexus)
        holds = state.holds(nexus)
        descriptor = FullStatusDescriptor(
            key=each.key,
            all_target_ports=each.all_target_ports,
            holder=holds,
            type=state.reservation.type if holds and state.reservation is not None else 0,
            relative_target_port=0 if each.all_target_ports else target_port,
            additional_length=len(port_id),
        )
        found.append(descriptor.build() + port_id)
    return found


def _reply(state: State, body: bytes, cdb: PersistentReserveInCdb) -> Result:
    header = ReserveInHeader(generation=state.generation, additional_length=len(body))
    return reply(header.build() + body, cdb.allocation_length)


COMMANDS: tuple[Command[Any, Any], ...] = tuple(
    Command(
        f"PERSISTENT RESERVE IN ({action.name.replace('_', ' ')})",
        Opcode.PERSISTENT_RESERVE_IN,
        PersistentReserveInCdb,
        run,
        service_action=action,
        access=Access.PERSISTENT_RESERVE,
    )
    for action, run in {
        ReserveIn.READ_KEYS: read_keys,
        ReserveIn.READ_RESERVATION: read_reservation,
        ReserveIn.REPORT_CAPABILITIES: report_capabilities,
        ReserveIn.READ_FULL_STATUS: read_full_status,
    }.items()
)
