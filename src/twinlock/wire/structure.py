"""Binary structures, each declared once as a table of fields.

A structure is a class whose attributes say where each field lies; ``parse``,
``build``, ``repr`` and equality are compiled from that table::

    @structure(size=48, section="RFC 7143 section 11.18")
    class NopOut(Structure):
        opcode: int = bits(0, 5, 0, default=0x00)
        immediate: bool = flag(0, 6)
        initiator_task_tag: int = u32(16)

Offsets are bytes from the start of the structure, bit 0 is the least
significant bit of its byte (as in the SCSI and iSCSI standards' tables).  Bytes
no field names are built as zero and ignored when parsed, so reserved space
needs no mention.  Instances are immutable by type (the checker refuses an
assignment); enforcing it at run time would double the cost of every parsed PDU.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, TypeVar, dataclass_transform

from typing_extensions import Buffer

_REQUIRED: Any = object()
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Malformed(ValueError):
    """The bytes cannot be the structure they were parsed as (too short, mostly)."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field: ``size`` bytes at ``offset``; ``mask``/``shift`` cut bits out of one byte."""

    offset: int
    size: int
    kind: Literal["int", "bits", "flag", "raw"]
    mask: int = 0
    shift: int = 0
    default: Any = 0


def _integer(size: int) -> Callable[..., Any]:
    def declare(offset: int, *, default: int = 0) -> Any:
        return Field(offset, size, "int", default=default)

    declare.__doc__ = f"An unsigned integer of {size} byte(s) at byte ``offset``."
    return declare


u8, u16, u24, u32, u64 = (_integer(size) for size in (1, 2, 3, 4, 8))


def bits(offset: int, high: int, low: int, *, default: int = 0) -> Any:
    """Bits ``high`` down to ``low`` of the byte at ``offset``, as an integer."""
    return Field(offset, 1, "bits", (1 << (high - low + 1)) - 1, low, default)


def flag(offset: int, bit: int, *, default: bool = False) -> Any:
    """One bit of the byte at ``offset``, as a bool."""
    return Field(offset, 1, "flag", 1, bit, default)


def raw(offset: int, size: int, *, default: bytes = b"") -> Any:
    """``size`` bytes at ``offset``, as bytes; a shorter value is padded with zeros."""
    return Field(offset, size, "raw", default=default)


class Structure:
    """Base of every declared structure; see the module's text."""

    __slots__ = ()
    SIZE: ClassVar[int]
    SECTION: ClassVar[str]
    FIELDS: ClassVar[dict[str, Field]]

    @classmethod
    def parse(cls, data: Buffer, offset: int = 0) -> Self:
        """The structure at byte ``offset`` of ``data``; raises :class:`Malformed` if it does not fit."""
        raise NotImplementedError  # replaced by the compiled function

    def build(self) -> bytes:
        """The ``SIZE`` bytes of the structure; raises :class:`struct.error` for a value out of range."""
        raise NotImplementedError  # replaced by the compiled function

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return type(self)(**{name: getattr(self, name) for name in self.FIELDS} | changes)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(
            getattr(self, name) == getattr(other, name) for name in self.FIELDS
        )

    def __hash__(self) -> int:
        return hash(self.build())

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self.FIELDS)
        return f"{type(self).__name__}({', '.join(shown)})"


_S = TypeVar("_S", bound=Structure)


@dataclass_transform(
    kw_only_default=True, frozen_default=True, field_specifiers=(u8, u16, u24, u32, u64, bits, flag, raw)
)
def structure(
    *, size: int, section: str, byte_order: Literal["big", "little"] = "big"
) -> Callable[[type[_S]], type[_S]]:
    """Compile a declared class into a structure of ``size`` bytes, defined by ``section`` of its standard."""

    def compile_class(declared: type[_S]) -> type[_S]:
        fields = {
            name: value
            for name in declared.__annotations__
            if isinstance(value := vars(declared).get(name), Field)
        }
        body = {key: value for key, value in vars(declared).items() if key not in fields}
        for unwanted in ("__dict__", "__weakref__"):
            body.pop(unwanted, None)
        body |= {"__slots__": tuple(fields), "SIZE": size, "SECTION": section, "FIELDS": fields}
        body |= _compile(fields, size, byte_order)
        metaclass: Callable[..., type[_S]] = type(declared)
        return metaclass(declared.__name__, declared.__bases__, body)

    return compile_class


def _compile(fields: dict[str, Field], size: int, order: Literal["big", "little"]) -> dict[str, Any]:
    """Source for ``__init__``, ``parse`` and ``build``, made into functions."""
    slots = sorted({(field.offset, field.size, field.kind == "raw") for field in fields.values()})
    packer = struct.Struct(_format(slots, size, order))
    names = {(offset, width): f"v{offset}_{width}" for offset, width, _ in slots}
    scope: dict[str, Any] = {
        "_unpack": packer.unpack_from,
        "_pack": packer.pack,
        "_error": struct.error,
        "_Malformed": Malformed,
        "_new": object.__new__,
        "_int": int.from_bytes,
    }
    scope |= {f"_d_{name}": field.default for name, field in fields.items()}
    unpacked = "".join(f"{names[offset, width]}, " for offset, width, _ in slots)
    source = [
        "def __init__(self, *, " + ", ".join(f"{name}=_d_{name}" for name in fields) + "):",
        *(f"    self.{name} = {name}" for name in fields),
        "def parse(cls, data, offset=0):",
        "    try:",
        f"        {unpacked} = _unpack(data, offset)",
        "    except _error as error:",
        f"        raise _Malformed(f'{{cls.__name__}} needs {size} bytes') from error",
        "    self = _new(cls)",
        *(f"    self.{name} = {_reader(field, names, order)}" for name, field in fields.items()),
        "    return self",
        "def build(self):",
        "    return _pack(" + ", ".join(_writer(slot, fields, order) for slot in slots) + ")",
    ]
    exec("\n".join(source), scope)  # the source is made of declared names and numbers only
    return {"__init__": scope["__init__"], "parse": classmethod(scope["parse"]), "build": scope["build"]}


def _format(slots: list[tuple[int, int, bool]], size: int, order: str) -> str:
    parts, position = [">" if order == "big" else "<"], 0
    for offset, width, is_raw in slots:
        if offset < position:
            raise TypeError(f"the field at byte {offset} overlaps the one before it")
        code = _CODES.get(width) if not is_raw else None
        parts += [f"{offset - position}x", code or f"{width}s"]
        position = offset + width
    return "".join([*parts, f"{size - position}x"])


def _reader(field: Field, names: dict[tuple[int, int], str], order: str) -> str:
    value = names[field.offset, field.size]
    if field.kind == "flag":
        return f"{value} & {1 << field.shift} != 0"
    if field.kind == "bits":
        return f"{value} >> {field.shift} & {field.mask}"
    if field.kind == "int" and field.size not in _CODES:
        return f"_int({value}, {order!r})"
    return value


def _writer(slot: tuple[int, int, bool], fields: dict[str, Field], order: str) -> str:
    offset, width, is_raw = slot
    here = [(name, field) for name, field in fields.items() if field.offset == offset and field.size == width]
    if is_raw:
        return f"self.{here[0][0]}"
    if here[0][1].kind == "int":
        value = f"self.{here[0][0]}"
        return value if width in _CODES else f"{value}.to_bytes({width}, {order!r})"
    return " | ".join(f"(self.{name} & {field.mask}) << {field.shift}" for name, field in here)
