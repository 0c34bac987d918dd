"""The parsers by themselves: what a peer's bytes reach without a session, and parameter data."""

import hashlib
import inspect
import json
from collections.abc import Callable

from tests.fuzz import cdbs
from tests.fuzz.bench import Shared
from tests.fuzz.choices import Choices
from tests.fuzz.oracle import rules
from tests.fuzz.oracle.rules import require
from tests.fuzz.setups import SIZE, Setup
from twinlock.errors import ProtocolError
from twinlock.iscsi.login import first_request, refuse
from twinlock.scsi.nexus import Nexus
from twinlock.scsi.reservations import record
from twinlock.wire import iscsi_requests, scsi_cdb, scsi_data, scsi_lun
from twinlock.wire.iscsi_text import parse_binary, parse_number, parse_pairs
from twinlock.wire.structure import Malformed, Structure

_NEXUS = Nexus("iqn.2026-11.test:a", bytes(6))
_PORT = {"initiator": "iqn.a", "isid": "000000000000"}
_VALUES: tuple[object, ...] = (
    None, 0, 1, -1, 1 << 64, "", "x", [], {}, True, [_PORT], _PORT, [{**_PORT, "key": 1}], 5, [1], [None],
    [{**_PORT, "key": 1, "all_target_ports": False}],
)  # fmt: skip
_NAMES = ("kept", "registrations", "type", "holder", "generation")
_MODULES = (iscsi_requests, scsi_cdb, scsi_data)
STRUCTURES: tuple[type[Structure], ...] = tuple(
    found
    for module in _MODULES
    for _, found in inspect.getmembers(module, inspect.isclass)
    if issubclass(found, Structure) and found.__module__ == module.__name__ and hasattr(found, "SIZE")
)


def _greeting(data: bytes) -> None:
    """The listener's entry: nobody knows yet who is there."""
    try:
        request = first_request(data)
    except ProtocolError:
        return
    for end in range(0, min(len(data), 100), 7):  # nothing that is cut is taken for whole
        part = first_request(data[:end])
        require(part is None or part == request, "a login request that changes as more of it comes")
    if request is not None:
        answer = refuse(request, 0x0301)
        require(len(answer) == 48 and answer[0] == rules.LOGIN_ANSWER, "a refusal that is no login response")
        require(answer[16:20] == data[16:20], "a refusal with another task tag")


_PIECES = (b"A=1\0", b"A", b"=", b"\0", b"a=1\0", b"X-key=", b"value", b"\xff", b"A" * 64, b"0=1\0")


def _text(data: bytes) -> None:
    """Pieces of keys and values in any order."""
    try:
        pairs = parse_pairs(
            b"".join(_PIECES[byte % len(_PIECES)] for byte in data), keys=64, value_length=2050
        )
    except Malformed:
        return
    require(len(pairs) <= 64, "more keys than the limit")
    require(all(len(value) <= 2050 for _, value in pairs), "a value beyond the limit")
    require(all(0 < len(key) < 64 and "A" <= key[0] <= "Z" for key, _ in pairs), "a key that is none")


def _number(data: bytes) -> None:
    try:
        require(parse_number(data.decode("latin-1")) >= 0, "a negative number")
    except ValueError:
        return


def _binary(data: bytes) -> None:
    try:
        require(len(parse_binary(data.decode("latin-1"), limit=64)) <= 64, "a value beyond the limit")
    except ValueError:
        return


def _lun(data: bytes) -> None:
    number = scsi_lun.lun_number(data)
    require(number is None or 0 <= number < 1 << 14, f"LUN {number}")


def _reservations(data: bytes) -> None:
    """The file that outlives the process.  Its digest keeps nearly everything out, so that is put right."""
    try:
        record.decode(_with_digest(data), b"unit")
    except record.DamagedRecord:
        return


def _with_digest(data: bytes) -> bytes:
    choices = Choices(data)
    state = {name: choices.pick(_VALUES) for name in _NAMES if not choices.chance(10)}
    body = {"format": 1, "unit": b"unit".hex(), **state}
    line = json.dumps(body, sort_keys=True).encode() + b"\n"
    return json.dumps({"digest": hashlib.sha256(line).hexdigest(), "reservations": body}).encode()


def _structure(data: bytes) -> None:
    """What is parsed and built again has all the bits that are declared."""
    kind = STRUCTURES[data[0] % len(STRUCTURES)] if data else STRUCTURES[0]
    try:
        parsed = kind.parse(data, 1)
    except Malformed:
        require(len(data) < kind.SIZE + 1, f"{kind.__name__} refuses bytes that are enough")
        return
    require(kind.parse(parsed.build()) == parsed, f"{kind.__name__} is not what it was built from")


def _command(data: bytes) -> None:
    """Commands and their parameter lists, straight to the logical unit and its disk."""
    choices = Choices(data)
    shared = Shared(Setup(block_size=choices.pick((512, 4096)), discard=not choices.chance(10)))
    disk = cdbs.Disk(SIZE // shared.setup.block_size, shared.setup.block_size)
    while choices.left:
        wild = choices.chance(20)
        request = cdbs.wild(choices) if wild else cdbs.request(choices, disk)
        cut = choices.below(len(request.data_out) + 1) if choices.chance(10) else len(request.data_out)
        outcome = shared.target.start(_NEXUS, cdbs.lun(choices), request.cdb, request.data_out[:cut])
        result = shared.carry_out(outcome)
        require(result.status in rules.SCSI_STATUSES, f"SCSI status {result.status}")
        require((result.status == 0x02) == bool(result.sense), "CHECK CONDITION and sense data disagree")
        require(result.transfer_wanted >= 0, "a negative transfer")
        size = memoryview(result.data_in).nbytes
        room = size if wild or not request.data_in else request.data_in
        require(size <= room, f"{size} bytes where there is room for {room}")


PARSERS: tuple[Callable[[bytes], None], ...] = (
    _command, _greeting, _text, _structure, _number, _binary, _lun, _reservations,
)  # fmt: skip


def parse(data: bytes) -> None:
    """The first byte says which parser gets the rest."""
    if data:
        PARSERS[data[0] % len(PARSERS)](data[1:])
