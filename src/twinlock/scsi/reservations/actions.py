"""The service actions of PERSISTENT RESERVE OUT, as functions from one state to the next (SPC-4 5.9).

A function raises :class:`Conflict` or a Refusal, and then nothing has changed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from twinlock.scsi.nexus import Nexus
from twinlock.scsi.reservations.access import ALL_REGISTRANTS, REGISTRANTS_ONLY
from twinlock.scsi.reservations.state import Registration, Reservation, State
from twinlock.scsi.sense import Refusal, Sense, invalid_parameter, point_at, refuse
from twinlock.wire.scsi_reservation import (
    LU_SCOPE,
    MoveParameters,
    PersistentReserveOutCdb,
    ReservationType,
    ReserveOut,
    ReserveOutParameters,
)
from twinlock.wire.scsi_sense import SenseCode

News = tuple[tuple[SenseCode, tuple[Nexus, ...]], ...]
"""Unit attention conditions, and who gets them."""

MAX_REGISTRATIONS = 1024
"""I_T nexuses: bounds the memory, and the file, that initiators can fill."""


def _invalid(name: str) -> Sense:
    return Sense(SenseCode.INVALID_FIELD_IN_CDB, field=point_at(PersistentReserveOutCdb.FIELDS[name]))


_INVALID_SCOPE, _INVALID_TYPE = _invalid("scope"), _invalid("type")


class Conflict(Exception):
    """The command ends in RESERVATION CONFLICT."""


@dataclass(frozen=True, slots=True)
class Request:
    """What ``nexus`` asks for.

    ``key`` is RESERVATION KEY, ``new_key`` SERVICE ACTION RESERVATION KEY,
    ``type`` None if the CDB's is none, ``keep`` APTPL.  ``ports``: those that
    SPEC_I_PT names, or REGISTER AND MOVE its new holder.
    """

    nexus: Nexus
    key: int
    new_key: int = 0
    type: ReservationType | None = None
    scope: int = LU_SCOPE
    keep: bool = False
    all_target_ports: bool = False
    specifies_ports: bool = False
    ports: tuple[Nexus, ...] = ()
    unregister: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """The next state, what it is news to whom, and who lost a registration to somebody else."""

    state: State
    news: News = ()
    preempted: tuple[Nexus, ...] = ()


def register(state: State, request: Request) -> Change:
    """REGISTER: who is not registered has the key 0."""
    present = state.registrations.get(request.nexus)
    if request.key != (present.key if present else 0):
        raise Conflict
    if request.specifies_ports and present is not None:
        raise invalid_parameter(ReserveOutParameters, "specify_initiator_ports")
    return register_and_ignore(state, request)


def register_and_ignore(state: State, request: Request) -> Change:
    """REGISTER AND IGNORE EXISTING KEY: a new key, or with 0 no registration any more."""
    if not request.new_key:
        return _unregister(state, request)
    newcomers = [port for port in request.ports if port not in state.registrations]
    entry = Registration(request.new_key, request.all_target_ports)
    after = state.with_keys(dict.fromkeys([request.nexus, *newcomers], entry))
    _check_room(after)
    return Change(replace(after, kept=request.keep).advanced())


def _unregister(state: State, request: Request) -> Change:
    if request.nexus not in state.registrations:  # nothing to do, and nobody to take an APTPL bit from
        return Change(state.advanced())
    after = replace(state.without([request.nexus]), kept=request.keep)
    return Change(after.advanced(), _released(state, after, request.nexus))


def reserve(state: State, request: Request) -> Change:
    """RESERVE: once more by its holder is no error."""
    _check_registered(state, request)
    kind = _type(request)
    if state.reservation is None:
        return Change(replace(state, reservation=Reservation.by(request.nexus, kind)))
    if not state.holds(request.nexus) or state.reservation.type is not kind:
        raise Conflict
    return Change(state)


def release(state: State, request: Request) -> Change:
    """RELEASE: by others than the holder it does nothing."""
    _check_registered(state, request)
    if state.reservation is None or not state.holds(request.nexus):
        return Change(state)
    if request.scope != LU_SCOPE or state.reservation.type is not request.type:
        raise refuse(SenseCode.INVALID_RELEASE_OF_PERSISTENT_RESERVATION)
    after = replace(state, reservation=None)
    return Change(after, _released(state, after, request.nexus))


def clear(state: State, request: Request) -> Change:
    """CLEAR: nothing is reserved and nobody registered any more."""
    _check_registered(state, request)
    after = state.without(state.registrations)
    return Change(after.advanced(), ((SenseCode.RESERVATIONS_PREEMPTED, state.others(request.nexus)),))


def preempt(state: State, request: Request) -> Change:
    """PREEMPT: take registrations away, and the reservation if its holder is among them.

    SCOPE and TYPE count only for a new reservation (SPC-4, removing registrations).
    """
    _check_registered(state, request)
    held = state.reservation
    of_all = held is not None and held.holder is None
    if not request.new_key and not of_all:
        raise invalid_parameter(ReserveOutParameters, "service_action_key")
    if held is not None and _is_named(state, held, request.new_key):
        return _take_over(state, held, request)
    losers = _with_key(state, request.new_key)
    if not losers:
        raise Conflict
    after = state.without(losers)
    return _preempted(after, request, losers, _released(state, after, request.nexus))


def register_and_move(state: State, request: Request) -> Change:
    """REGISTER AND MOVE: the holder registers another port and makes it the holder."""
    _check_registered(state, request)
    held = state.reservation
    if held is None:
        raise refuse(SenseCode.INVALID_FIELD_IN_CDB)
    if held.type in ALL_REGISTRANTS or not state.holds(request.nexus):
        raise Conflict
    (heir,) = request.ports
    if not request.new_key:
        raise invalid_parameter(MoveParameters, "service_action_key")
    if heir == request.nexus:
        raise invalid_parameter(MoveParameters, "transport_id_length")
    moved = state.with_keys({heir: Registration(request.new_key)})
    _check_room(moved)
    moved = replace(moved, reservation=Reservation(held.type, heir), kept=request.keep)
    return Change((moved.without([request.nexus]) if request.unregister else moved).advanced())


ACTIONS: dict[ReserveOut, Callable[[State, Request], Change]] = {
    ReserveOut.REGISTER: register,
    ReserveOut.RESERVE: reserve,
    ReserveOut.RELEASE: release,
    ReserveOut.CLEAR: clear,
    ReserveOut.PREEMPT: preempt,
    ReserveOut.PREEMPT_AND_ABORT: preempt,
    ReserveOut.REGISTER_AND_IGNORE_EXISTING_KEY: register_and_ignore,
    ReserveOut.REGISTER_AND_MOVE: register_and_move,
}


def _check_registered(state: State, request: Request) -> None:
    present = state.registrations.get(request.nexus)
    if present is None or present.key != request.key:
        raise Conflict


def _check_room(state: State) -> None:
    if len(state.registrations) > MAX_REGISTRATIONS:
        raise refuse(SenseCode.INSUFFICIENT_REGISTRATION_RESOURCES)


def _type(request: Request) -> ReservationType:
    """The type of a new reservation, which is one of the whole logical unit."""
    if request.scope != LU_SCOPE:
        raise Refusal(_INVALID_SCOPE)
    if request.type is None:
        raise Refusal(_INVALID_TYPE)
    return request.type


def _with_key(state: State, key: int) -> tuple[Nexus, ...]:
    return tuple(nexus for nexus, each in state.registrations.items() if each.key == key)


def _is_named(state: State, held: Reservation, key: int) -> bool:
    """Whether ``key`` stands for the reservation's holder; 0 for that of all registrants."""
    return key == (state.registrations[held.holder].key if held.holder is not None else 0)


def _take_over(state: State, held: Reservation, request: Request) -> Change:
    """The reservation goes to whom asks; only its own registration survives a key of its own."""
    ours = request.nexus
    named = state.others(ours) if held.holder is None else _with_key(state, request.new_key)
    losers = tuple(nexus for nexus in named if nexus != ours)
    taken = Reservation.by(ours, _type(request))
    after = replace(state.without(losers), reservation=taken)
    released: News = ()
    if taken.type is not held.type:
        released = ((SenseCode.RESERVATIONS_RELEASED, after.others(ours)),)
    return _preempted(after, request, losers, released)


def _preempted(after: State, request: Request, losers: tuple[Nexus, ...], released: News) -> Change:
    others = tuple(nexus for nexus in losers if nexus != request.nexus)
    return Change(after.advanced(), ((SenseCode.REGISTRATIONS_PREEMPTED, others), *released), others)


def _released(before: State, after: State, nexus: Nexus) -> News:
    """RESERVATIONS RELEASED for those whose access depended on being registered."""
    held = before.reservation
    if held is None or after.reservation is not None or held.type not in REGISTRANTS_ONLY | ALL_REGISTRANTS:
        return ()
    return ((SenseCode.RESERVATIONS_RELEASED, after.others(nexus)),)
