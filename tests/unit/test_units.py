import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.units import GIB, KIB, MIB, TIB, format_size, one_line, parse_size, round_down, round_up


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096),
        ("0", 0),
        ("2G", 2 * GIB),
        ("2g", 2 * GIB),
        ("1.5T", TIB + TIB // 2),
        ("64 MiB", 64 * MIB),
        ("10KB", 10 * KIB),
        (" 7B ", 7),
    ],
)
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1", "2X", "1,5G", "0x10", "1 2", "2GG"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (KIB, "1.0 KiB"), (1536 * MIB, "1.5 GiB"), (4 * TIB, "4.0 TiB")],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("iqn.2026-11.net.example:büro pc", "iqn.2026-11.net.example:büro pc"),
        ("pc\n2026-11-23 INFO forged", "pc\\n2026-11-23 INFO forged"),
        ("\x1b[2J\u202e", "\\x1b[2J\\u202e"),
    ],
)
def test_text_from_outside_keeps_to_its_line(text: str, shown: str) -> None:
    assert one_line(text) == shown


@given(value=st.integers(0, 1 << 64), multiple=st.integers(1, 1 << 20))
def test_rounding(value: int, multiple: int) -> None:
    up, down = round_up(value, multiple), round_down(value, multiple)
    assert up % multiple == down % multiple == 0
    assert up - multiple < value <= up
    assert down <= value < down + multiple
