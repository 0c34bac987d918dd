import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.wire.structure import (
    Malformed,
    Structure,
    bits,
    flag,
    raw,
    structure,
    u8,
    u16,
    u24,
    u32,
    u64,
)


@structure(size=32, section="a test")
class Everything(Structure):
    """Each kind of field, with holes between them."""

    kind: int = bits(0, 5, 0, default=3)
    final: bool = flag(0, 7)
    middle: bool = flag(0, 6, default=True)
    one: int = u8(2)
    two: int = u16(3)
    three: int = u24(5)
    four: int = u32(8)
    eight: int = u64(12)
    name: bytes = raw(20, 4, default=b"abcd")
    single: bytes = raw(24, 1)


@structure(size=8, section="a test", byte_order="little")
class Little(Structure):
    """Little-endian, as md has it."""

    two: int = u16(0)
    three: int = u24(2)
    byte: int = u8(5)


def everything(**changes: object) -> Everything:
    values = {
        "kind": 0x2A,
        "final": True,
        "middle": False,
        "one": 0x11,
        "two": 0x2233,
        "three": 0x445566,
        "four": 0x778899AA,
        "eight": 0x0102030405060708,
        "name": b"name",
        "single": b"!",
    }
    return Everything(**(values | changes))  # type: ignore[arg-type]


def test_the_bytes_lie_where_they_were_declared() -> None:
    assert everything().build().hex(" ") == (
        "aa 00 11 22 33 44 55 66 77 88 99 aa 01 02 03 04 05 06 07 08 6e 61 6d 65 21 00 00 00 00 00 00 00"
    )


def test_little_endian() -> None:
    built = Little(two=0x0102, three=0x030405, byte=6).build()
    assert built.hex() == "0201050403060000"
    assert Little.parse(built) == Little(two=0x0102, three=0x030405, byte=6)


def test_defaults() -> None:
    filled = Everything(final=False, one=0, two=0, three=0, four=0, eight=0, single=b"")
    assert (filled.kind, filled.middle, filled.name) == (3, True, b"abcd")


@given(
    st.builds(
        everything,
        kind=st.integers(0, 63),
        final=st.booleans(),
        middle=st.booleans(),
        one=st.integers(0, 0xFF),
        two=st.integers(0, 0xFFFF),
        three=st.integers(0, 0xFFFFFF),
        four=st.integers(0, 0xFFFFFFFF),
        eight=st.integers(0, (1 << 64) - 1),
        name=st.binary(min_size=4, max_size=4),
        single=st.binary(min_size=1, max_size=1),
    ),
    st.binary(max_size=5),
)
def test_what_is_built_is_parsed_again_at_any_offset(value: Everything, before: bytes) -> None:
    assert Everything.parse(before + value.build() + b"after", len(before)) == value


@given(st.binary(min_size=32, max_size=32))
def test_reserved_bytes_are_ignored_and_built_as_zero(data: bytes) -> None:
    again = Everything.parse(data).build()
    assert Everything.parse(again) == Everything.parse(data)
    assert again[1] == 0
    assert again[25:] == bytes(7)


def test_a_short_raw_value_is_padded() -> None:
    assert Everything.parse(everything(name=b"x").build()).name == b"x\0\0\0"


@pytest.mark.parametrize("length", [0, 1, 31])
def test_too_few_bytes(length: int) -> None:
    with pytest.raises(Malformed, match="Everything needs 32 bytes"):
        Everything.parse(bytes(length))


def test_too_few_bytes_after_the_offset() -> None:
    with pytest.raises(Malformed):
        Everything.parse(bytes(40), 9)


@pytest.mark.parametrize(
    "change", [{"one": 256}, {"two": -1}, {"three": 1 << 24}, {"four": 1 << 32}, {"eight": 1 << 64}]
)
def test_a_value_out_of_range(change: dict[str, int]) -> None:
    with pytest.raises((struct.error, OverflowError)):
        everything(**change).build()


def test_replace_leaves_the_original() -> None:
    first = everything()
    assert first.replace(one=5).one == 5
    assert first.one == 0x11
    assert first.replace(one=5).replace(one=0x11) == first


def test_equality_and_hash() -> None:
    assert everything() == everything()
    assert hash(everything()) == hash(everything())
    assert everything() != everything(final=False)
    assert Little(two=0, three=0, byte=0) != everything()


def test_repr_names_every_field() -> None:
    assert repr(Little(two=1, three=2, byte=3)) == "Little(two=1, three=2, byte=3)"


def test_what_a_structure_says_of_itself() -> None:
    assert (Everything.SIZE, Everything.SECTION) == (32, "a test")
    assert list(Little.FIELDS) == ["two", "three", "byte"]
    assert Everything.__doc__ == "Each kind of field, with holes between them."


def test_fields_that_overlap_are_refused() -> None:
    with pytest.raises(TypeError, match="byte 3 overlaps"):

        @structure(size=8, section="a test")
        class Overlapping(Structure):
            four: int = u32(0)
            two: int = u16(3)


def test_a_misspelled_field_is_refused() -> None:
    with pytest.raises(TypeError):
        everything(fuor=1)
    with pytest.raises(AttributeError):
        everything().fuor = 1  # type: ignore[attr-defined]
