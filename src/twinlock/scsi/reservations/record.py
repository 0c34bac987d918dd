"""The durable form of a state: a line of JSON, with the digest that tells a damaged one.

PRGENERATION is not in it: it begins at 0 whenever the unit is powered on (SPC-4 5.9.3).
"""

import hashlib
import json
from types import MappingProxyType
from typing import Any, Protocol

from twinlock.scsi.nexus import Nexus
from twinlock.scsi.reservations.access import ALL_REGISTRANTS
from twinlock.scsi.reservations.state import Registration, Reservation, State
from twinlock.wire.scsi_reservation import ReservationType

_FORMAT = 1
_ISID_BYTES = 6
_KEYS = range(1, 1 << 64)


class ReservationStore(Protocol):
    """Where reservations survive the end of the process; both methods may raise OSError."""

    def load(self) -> bytes | None:
        """What was saved last; None if nothing ever was."""

    def save(self, data: bytes) -> None:
        """Keep ``data`` instead of what was saved before; durable, and whole, when this returns."""


class DamagedRecord(ValueError):
    """The bytes are no record that this program wrote: what was reserved is not known."""


def encode(state: State, unit: bytes) -> bytes:
    """The record of ``state``, of the logical unit with the identifier ``unit``."""
    body = {"format": _FORMAT, "unit": unit.hex(), **_describe(state)}
    return _line({"digest": _digest(body), "reservations": body})


def decode(record: bytes, unit: bytes) -> State:
    """The state in ``record``; an empty one if it is that of another unit.

    Raises :class:`DamagedRecord` for everything that :func:`encode` cannot have written.
    """
    try:
        whole = json.loads(record)
        body = whole["reservations"]
        if whole["digest"] != _digest(body) or body["format"] != _FORMAT:
            raise DamagedRecord("its digest or its format is wrong")
        return _state(body) if bytes.fromhex(body["unit"]) == unit else State()
    except DamagedRecord:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise DamagedRecord("it is not what was written") from error


def _line(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode() + b"\n"


def _digest(body: object) -> str:
    return hashlib.sha256(_line(body)).hexdigest()


def _describe(state: State) -> dict[str, Any]:
    held = state.reservation
    return {
        "kept": state.kept,
        "registrations": [
            {**_describe_port(nexus), "key": each.key, "all_target_ports": each.all_target_ports}
            for nexus, each in state.registrations.items()
        ],
        "type": None if held is None else held.type.value,
        "holder": None if held is None or held.holder is None else _describe_port(held.holder),
    }


def _describe_port(nexus: Nexus) -> dict[str, Any]:
    return {"initiator": nexus.initiator_name, "isid": nexus.isid.hex()}


def _state(body: dict[str, Any]) -> State:
    registrations = {_port(each): _registration(each) for each in body["registrations"]}
    state = State(
        registrations=MappingProxyType(registrations), reservation=_reservation(body), kept=bool(body["kept"])
    )
    held = state.reservation
    if held is not None and not (any(map(state.holds, registrations)) and _fits(held)):
        raise DamagedRecord("it holds a reservation of nobody")
    return state


def _registration(each: dict[str, Any]) -> Registration:
    if each["key"] not in _KEYS:
        raise DamagedRecord("it holds a reservation key that is none")
    return Registration(each["key"], bool(each["all_target_ports"]))


def _reservation(body: dict[str, Any]) -> Reservation | None:
    if body["type"] is None:
        return None
    holder = None if body["holder"] is None else _port(body["holder"])
    return Reservation(ReservationType(body["type"]), holder)


def _port(described: dict[str, Any]) -> Nexus:
    nexus = Nexus(str(described["initiator"]), bytes.fromhex(described["isid"]))
    if len(nexus.isid) != _ISID_BYTES:
        raise DamagedRecord("it holds an ISID that is none")
    return nexus


def _fits(held: Reservation) -> bool:
    return (held.holder is None) == (held.type in ALL_REGISTRANTS)
