"""PERSISTENT RESERVE IN and OUT, put together and taken apart by hand."""

from typing import NamedTuple

from tests.unit.scsi.support import UUID, good
from twinlock.scsi.command import Outcome
from twinlock.scsi.geometry import Geometry
from twinlock.scsi.identity import Identity
from twinlock.scsi.logical_unit import LogicalUnit
from twinlock.scsi.nexus import Nexus
from twinlock.scsi.operations import Later, Operation, Result, Status

REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT, IGNORE, MOVE = range(8)
WE, EA, WE_RO, EA_RO, WE_AR, EA_AR = TYPES = (1, 3, 5, 6, 7, 8)
SPEC_I_PT, ALL_TG_PT, APTPL = 0x08, 0x04, 0x01
TEST_UNIT_READY = bytes(6)
READ = bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0])
WRITE = bytes([0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0])
BLOCK = bytes(512)
MODE_CHANGED, PREEMPTED, RELEASED, LOST = ((6, 0x2A, code) for code in (1, 3, 4, 5))
"""MODE PARAMETERS CHANGED, RESERVATIONS PREEMPTED, RESERVATIONS RELEASED, REGISTRATIONS PREEMPTED."""


class MemoryStore:
    """Keeps what is saved; fails on demand."""

    def __init__(self, data: bytes | None = None) -> None:
        self.data = data
        self.saves = 0
        self.broken = False

    def load(self) -> bytes | None:
        return self.data

    def save(self, data: bytes) -> None:
        if self.broken:
            raise OSError("no")
        self.saves += 1
        self.data = data


class Registered(NamedTuple):
    """One descriptor of READ FULL STATUS."""

    key: int
    port: str
    holder: bool
    kind: int
    all_ports: bool
    target_port: int


def new_unit(*nexuses: Nexus, store: MemoryStore | None = None) -> LogicalUnit:
    """A disk that ``nexuses`` have been told of already."""
    unit = LogicalUnit(Identity.of_array(UUID), Geometry(20480), reservations_store=store)
    for nexus in nexuses:
        unit.start(nexus, TEST_UNIT_READY)
    return unit


def out(
    unit: LogicalUnit,
    nexus: Nexus,
    action: int,
    key: int = 0,
    new_key: int = 0,
    kind: int = 0,
    flags: int = 0,
    more: bytes = b"",
) -> Outcome:
    """PERSISTENT RESERVE OUT."""
    data = key.to_bytes(8, "big") + new_key.to_bytes(8, "big") + bytes([0, 0, 0, 0, flags, 0, 0, 0]) + more
    return decided(unit.start(nexus, out_cdb(action, len(data), kind), data))


def decided(outcome: Outcome) -> Outcome:
    """The outcome, waited for if that may take long."""
    return outcome.run() if isinstance(outcome, Later) else outcome


def out_cdb(action: int, length: int, kind: int = 0) -> bytes:
    return bytes([0x5F, action, kind, 0, 0, *length.to_bytes(4, "big"), 0])


def done(outcome: Outcome) -> None:
    """The command ended well, and took all of its data."""
    assert good(outcome) == b""
    assert isinstance(outcome, Result)
    assert outcome.data_out_used >= 24


def conflicts(outcome: Outcome) -> bool:
    """Whether it ended in RESERVATION CONFLICT, which has no sense data."""
    if not isinstance(outcome, Result) or outcome.status is not Status.RESERVATION_CONFLICT:
        return False
    assert outcome.sense == b""
    return True


def allowed(outcome: Outcome) -> bool:
    """Whether it went through: done, or on its way to the medium."""
    assert isinstance(outcome, Operation) or outcome.status in (Status.GOOD, Status.RESERVATION_CONFLICT)
    return not conflicts(outcome)


def read_in(unit: LogicalUnit, nexus: Nexus, action: int, allocation: int = 0xFFFF) -> bytes:
    """PERSISTENT RESERVE IN."""
    return good(unit.start(nexus, bytes([0x5E, action, 0, 0, 0, 0, 0, *allocation.to_bytes(2, "big"), 0])))


def keys(unit: LogicalUnit, nexus: Nexus) -> tuple[int, list[int]]:
    """READ KEYS: the generation and the keys."""
    generation, body = _taken_apart(read_in(unit, nexus, 0))
    return generation, [int.from_bytes(body[at : at + 8], "big") for at in range(0, len(body), 8)]


def reservation(unit: LogicalUnit, nexus: Nexus) -> tuple[int, int] | None:
    """READ RESERVATION: key and type."""
    _, body = _taken_apart(read_in(unit, nexus, 1))
    if not body:
        return None
    assert len(body) == 16
    assert not any(body[8:13])
    return int.from_bytes(body[:8], "big"), body[13]


def full_status(unit: LogicalUnit, nexus: Nexus) -> list[Registered]:
    """READ FULL STATUS."""
    _, body = _taken_apart(read_in(unit, nexus, 3))
    found = []
    while body:
        length = int.from_bytes(body[20:24], "big")
        port = body[24 : 24 + length]
        assert port[:2] == bytes([0x45, 0])
        assert int.from_bytes(port[2:4], "big") == length - 4
        name = port[4:].rstrip(b"\0").decode()
        target_port = int.from_bytes(body[18:20], "big")
        holder, all_ports = bool(body[12] & 1), bool(body[12] & 2)
        found.append(
            Registered(int.from_bytes(body[:8], "big"), name, holder, body[13], all_ports, target_port)
        )
        body = body[24 + length :]
    return found


def port_id(nexus: Nexus) -> bytes:
    """The TransportID of an initiator port."""
    text = f"{nexus.initiator_name},i,0x{nexus.isid.hex()}".encode() + b"\0"
    text += bytes(-len(text) % 4)
    return bytes([0x45, 0]) + len(text).to_bytes(2, "big") + text


def move(
    unit: LogicalUnit,
    nexus: Nexus,
    heir: bytes,
    key: int,
    new_key: int,
    *,
    flags: int = 0,
    port: int = 1,
    length: int | None = None,
) -> Outcome:
    """PERSISTENT RESERVE OUT with REGISTER AND MOVE; UNREG is 2, APTPL 1."""
    length = len(heir) if length is None else length
    data = b"".join(
        [
            key.to_bytes(8, "big"),
            new_key.to_bytes(8, "big"),
            bytes([0, flags]),
            port.to_bytes(2, "big"),
            length.to_bytes(4, "big"),
            heir,
        ]
    )
    return decided(unit.start(nexus, out_cdb(MOVE, len(data)), data))


def news(unit: LogicalUnit, nexus: Nexus) -> list[tuple[int, int, int]]:
    """The unit attentions that are pending; REQUEST SENSE takes them."""
    found = []
    while (data := good(unit.start(nexus, bytes([0x03, 0, 0, 0, 252, 0]))))[2] == 6:
        found.append((data[2], data[12], data[13]))
    return found


def _taken_apart(data: bytes) -> tuple[int, bytes]:
    assert int.from_bytes(data[4:8], "big") == len(data) - 8
    return int.from_bytes(data[:4], "big"), data[8:]
