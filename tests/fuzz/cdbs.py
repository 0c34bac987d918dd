"""Commands out of the opcode table: every row, its declared fields, and data that suit (or nearly).

What a row does not say, the names of its fields do: an allocation length means data-in, a
parameter list length a parameter list, a number of blocks as much data.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fuzz.choices import Choices
from tests.fuzz.parameter_lists import PARAMETER_LISTS
from twinlock.scsi.command import Command
from twinlock.scsi.logical_unit import COMMANDS
from twinlock.wire.structure import Field

_WRITE_SAME, _COMPARE_AND_WRITE = (0x41, 0x93), 0x89
_NO_DATA = frozenset({0x34, 0x35, 0x90, 0x91})
"""PRE-FETCH and SYNCHRONIZE CACHE count blocks, but move none."""
_LUNS = (
    bytes(8),
    bytes(8),
    bytes(8),
    bytes(8),
    bytes.fromhex("0001000000000000"),
    bytes.fromhex("4000000000000000"),
    bytes.fromhex("c101000000000000"),
    bytes.fromhex("ffffffffffffffff"),
)


@dataclass(frozen=True, slots=True)
class Request:
    """A CDB, and the data that its initiator expects to move."""

    cdb: bytes
    data_out: bytes = b""
    data_in: int = 0


@dataclass(frozen=True, slots=True)
class Disk:
    """What an initiator has read of the disk's capacity."""

    blocks: int
    block_size: int


def lun(choices: Choices) -> bytes:
    """Mostly LUN 0."""
    return choices.pick(_LUNS)


def request(choices: Choices, disk: Disk) -> Request:
    """Any command of the table."""
    row: Command[Any, Any] = choices.pick(COMMANDS)
    fields = {name: _value(choices, name, field, disk) for name, field in row.cdb.FIELDS.items()}
    cdb = bytearray(row.cdb(**fields).build())
    cdb[0] = row.opcode
    if row.service_action is not None:
        cdb[1] |= row.service_action
    return _with_data(choices, row, bytes(cdb), fields, disk)


def _value(choices: Choices, name: str, field: Field, disk: Disk) -> Any:
    """A value that gets far, for most fields of most commands."""
    if field.kind == "flag":
        return choices.chance(20) if name != "naca" else choices.chance(2)
    if field.kind == "bits":
        return choices.byte() & field.mask if choices.chance(30) else 0
    if field.kind == "raw":
        return choices.bytes(field.size)
    if "address" in name:
        return _address(choices, disk) & (1 << 8 * field.size) - 1
    if _counts_blocks(name):
        return choices.pick((1, 2, 0, 8, 16, choices.number(field.size))) & (1 << 8 * field.size) - 1
    if "allocation" in name or "parameter_list" in name:
        return choices.pick((0xFF, 24, 4, 0, choices.number(field.size))) & (1 << 8 * field.size) - 1
    return choices.number(field.size) if choices.chance(60) else 0


def _counts_blocks(name: str) -> bool:
    return name in ("transfer_length", "verification_length", "prefetch_length", "length") or "blocks" in name


def _address(choices: Choices, disk: Disk) -> int:
    """Inside, at the end, or out of this world."""
    kind = choices.byte()
    if kind < 200:
        return kind % min(disk.blocks, 64)
    if kind < 240:
        return max(0, disk.blocks - 250 + kind)
    return choices.number(8)


def _with_data(
    choices: Choices, row: Command[Any, Any], cdb: bytes, fields: dict[str, Any], disk: Disk
) -> Request:
    make: Callable[[Choices, Disk], bytes] | None = PARAMETER_LISTS.get((row.opcode, row.service_action))
    make = make or PARAMETER_LISTS.get((row.opcode, None))
    if make is not None:
        data = make(choices, disk)
        return Request(_with_length(row, cdb, fields, len(data)) if choices.chance(90) else cdb, data)
    if "allocation_length" in fields:
        return Request(cdb, data_in=fields["allocation_length"])
    blocks = next((value for name, value in fields.items() if _counts_blocks(name)), 0)
    size = _bytes_moved(row.opcode, blocks) * disk.block_size
    if row.opcode in _NO_DATA or size > 1 << 16:
        return Request(cdb)
    if row.writes or fields.get("byte_check"):
        return Request(cdb, data_out=choices.bytes(size))
    return Request(cdb, data_in=size)


def _bytes_moved(opcode: int, blocks: int) -> int:
    if opcode in _WRITE_SAME:
        return 1
    return 2 * blocks if opcode == _COMPARE_AND_WRITE else blocks


def _with_length(row: Command[Any, Any], cdb: bytes, fields: dict[str, Any], length: int) -> bytes:
    """The CDB, saying how long its parameter list is."""
    name = next((each for each in fields if "parameter_list" in each), None)
    if name is None:
        return cdb
    field: Field = row.cdb.FIELDS[name]
    value = (length & (1 << 8 * field.size) - 1).to_bytes(field.size, "big")
    return cdb[: field.offset] + value + cdb[field.offset + field.size :]


def wild(choices: Choices) -> Request:
    """Sixteen bytes, of whatever kind, and any data."""
    cdb = bytearray(16)
    cdb[0] = choices.byte()
    for _ in range(choices.below(8)):
        cdb[choices.below(16)] = choices.byte()
    length = choices.pick((0, 0, 8, 24, 512, 4096))
    return (
        Request(bytes(cdb), choices.bytes(length)) if choices.chance(40) else Request(bytes(cdb), b"", length)
    )
