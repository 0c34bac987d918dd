import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.wire.iscsi_text import build_binary, build_pairs, parse_binary, parse_number, parse_pairs
from twinlock.wire.structure import Malformed

KEY = st.from_regex(r"[A-Z][A-Za-z0-9.\-+@_]{0,62}", fullmatch=True)
VALUE = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=60)


@given(st.lists(st.tuples(KEY, VALUE), max_size=20))
def test_pairs_survive(pairs: list[tuple[str, str]]) -> None:
    assert parse_pairs(build_pairs(pairs), keys=20, value_length=60) == pairs


def test_a_mapping_is_built_in_its_order() -> None:
    assert build_pairs({"B": "1", "A": "2"}) == b"B=1\0A=2\0"


def test_padding_counted_as_data_and_a_missing_end_are_forgiven() -> None:
    assert parse_pairs(b"A=1\0\0\0B=2", keys=5, value_length=5) == [("A", "1"), ("B", "2")]


def test_a_value_may_hold_an_equals_sign() -> None:
    assert parse_pairs(b"A=b=c\0", keys=5, value_length=5) == [("A", "b=c")]


@pytest.mark.parametrize(
    "data",
    [
        b"NoEquals\0",
        b"=value\0",
        b"lower=1\0",
        b"A" * 64 + b"=1\0",
        b"A=\xff\0",
        b"K\xc3\xa4se=1\0",
        b"A=123456\0",
    ],
)
def test_what_is_no_pair(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_pairs(data, keys=5, value_length=5)


def test_too_many_pairs() -> None:
    with pytest.raises(Malformed, match="more than 2"):
        parse_pairs(b"A=1\0B=1\0C=1\0", keys=2, value_length=5)


@given(st.binary(max_size=200))
def test_any_bytes_are_pairs_or_malformed(data: bytes) -> None:
    try:
        pairs = parse_pairs(data, keys=10, value_length=50)
    except Malformed:
        return
    assert parse_pairs(build_pairs(pairs), keys=10, value_length=50) == pairs


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("262144", 262144), ("0x40", 64), ("0XfF", 255), ("007", 7)]
)
def test_numbers(text: str, value: int) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1 ", "0x", "1e3", "1_000", "٣", "0b11", "9" * 21, "0x" + "1" * 17]
)
def test_no_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        parse_number(text)


@given(st.binary(min_size=1, max_size=64))
def test_binary_values_in_both_notations(value: bytes) -> None:
    assert parse_binary(build_binary(value), limit=64) == value
    assert parse_binary("0X" + value.hex().upper(), limit=64) == value
    assert parse_binary("0b" + base64.b64encode(value).decode(), limit=64) == value
    assert parse_binary("0B" + base64.b64encode(value).decode(), limit=64) == value


def test_an_odd_number_of_digits() -> None:
    assert parse_binary("0x123", limit=2) == b"\x01\x23"


@pytest.mark.parametrize("text", ["", "0x", "0b", "1234", "0xgg", "0b=", "0bA", "0bAA=A", "0b????"])
def test_no_binary_values(text: str) -> None:
    with pytest.raises(ValueError, match="not"):
        parse_binary(text, limit=64)


@pytest.mark.parametrize("text", [build_binary(bytes(17)), "0b" + base64.b64encode(bytes(17)).decode()])
def test_a_binary_value_that_is_too_long(text: str) -> None:
    with pytest.raises(ValueError, match="too long"):
        parse_binary(text, limit=16)
