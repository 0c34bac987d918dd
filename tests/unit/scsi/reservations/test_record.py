"""What is kept across restarts, and what a damaged record must not lead to."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.scsi.reservations.support import (
    APTPL,
    EA,
    REGISTER,
    RESERVE,
    MemoryStore,
    done,
    new_unit,
    out,
)
from tests.unit.scsi.support import UUID, A, B
from twinlock.scsi.geometry import Geometry
from twinlock.scsi.identity import Identity
from twinlock.scsi.logical_unit import LogicalUnit
from twinlock.scsi.nexus import Nexus
from twinlock.scsi.reservations.record import DamagedRecord, _digest, decode, encode
from twinlock.scsi.reservations.state import Registration, Reservation, State
from twinlock.wire.scsi_reservation import ReservationType

UNIT = bytes(range(8))
ports = st.builds(Nexus, st.text(min_size=1, max_size=20), st.binary(min_size=6, max_size=6))
registrations = st.builds(Registration, st.integers(1, (1 << 64) - 1), st.booleans())


@st.composite
def states(draw: st.DrawFn) -> State:
    state = State(kept=draw(st.booleans())).with_keys(draw(st.dictionaries(ports, registrations, max_size=4)))
    if not state.registrations or draw(st.booleans()):
        return state
    holder = draw(st.sampled_from(sorted(state.registrations)))
    kind = draw(st.sampled_from(ReservationType))
    return State(state.registrations, Reservation.by(holder, kind), kept=state.kept)


@given(states())
def test_what_is_kept_comes_back(state: State) -> None:
    assert decode(encode(state, UNIT), UNIT) == state


def test_the_reservations_of_another_unit_are_none_of_ours() -> None:
    state = State().with_keys({A: Registration(1)})
    assert decode(encode(state, UNIT), bytes(8)) == State()


def record() -> bytes:
    unit = new_unit(A, B, store=(store := MemoryStore()))
    done(out(unit, A, REGISTER, 0, 1, flags=APTPL))
    done(out(unit, B, REGISTER, 0, 2, flags=APTPL))
    done(out(unit, A, RESERVE, 1, kind=EA))
    assert store.data is not None
    return store.data


def test_no_damage_goes_unnoticed() -> None:
    whole = record()
    for at in range(len(whole) - 1):  # behind the last byte is a line end
        for bit in (0x01, 0x20):
            spoiled = bytearray(whole)
            spoiled[at] ^= bit
            with pytest.raises(DamagedRecord):
                decode(bytes(spoiled), Identity.of_array(UUID).naa)


@pytest.mark.parametrize("length", [0, 1, 100, -2])
def test_a_record_that_is_cut_short_is_damaged(length: int) -> None:
    with pytest.raises(DamagedRecord):
        decode(record()[:length], UNIT)


def test_a_unit_does_not_begin_with_a_damaged_record() -> None:
    with pytest.raises(DamagedRecord):
        LogicalUnit(Identity.of_array(UUID), Geometry(64), reservations_store=MemoryStore(b"{}"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", 2),
        ("type", 2),
        ("type", "3"),
        ("holder", None),
        ("holder", {"initiator": "iqn.2026-11.test:c", "isid": "000000000000"}),
        ("holder", {"initiator": "iqn.2026-11.test:a", "isid": "00"}),
        ("registrations", []),
        ("registrations", [{"initiator": "x", "isid": "000000000000", "key": 0, "all_target_ports": False}]),
        ("registrations", [{}]),
        ("registrations", None),
        ("unit", 5),
    ],
)
def test_values_that_were_never_written(name: str, value: object) -> None:
    body = json.loads(record())["reservations"] | {name: value}
    made = json.dumps({"digest": _digest(body), "reservations": body}).encode()
    with pytest.raises(DamagedRecord):
        decode(made, Identity.of_array(UUID).naa)


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_any_bytes(data: bytes) -> None:
    with pytest.raises(DamagedRecord):
        decode(data, UNIT)
