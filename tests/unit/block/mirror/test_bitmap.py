import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.block.mirror.bitmap import Bitmap, BitmapHeader, differing_pages, header_fault
from twinlock.units import MIB

UUID = b"u" * 16


def bitmap(chunks: int = 40_000) -> Bitmap:
    return Bitmap(BitmapHeader(uuid=UUID, sync_size=chunks * MIB // 512, chunksize=MIB))


@given(st.sets(st.integers(0, 39_999), max_size=50), st.sets(st.integers(0, 39_999), max_size=50))
def test_bits_are_a_set(marked: set[int], unmarked: set[int]) -> None:
    found = bitmap()
    found.mark(marked)
    found.unmark(unmarked)
    assert found.marked() == marked - unmarked


@given(st.sets(st.integers(0, 39_999), max_size=50))
def test_pages_are_what_goes_to_disk(marked: set[int]) -> None:
    one = bitmap()
    changed = one.mark(marked)
    other = Bitmap.parse(b"".join(one.page(number) for number in one.pages))
    assert (other.header.build(), other.marked()) == (one.header.build(), marked)
    assert set(differing_pages(one, bitmap())) == changed


def test_bits_lie_as_the_kernel_reads_them() -> None:
    found = bitmap()
    found.mark({0, 9, 30719, 30720})
    first, second = found.page(0), found.page(1)
    assert (first[256], first[257], first[4095], second[0]) == (1, 2, 0x80, 1)


def test_bits_behind_the_last_chunk_mean_nothing() -> None:
    found = bitmap(3)
    content = bytearray(found.page(0))
    content[256:] = b"\xff" * (4096 - 256)
    assert Bitmap.parse(content).marked() == {0, 1, 2}


def test_a_copy_is_another_bitmap() -> None:
    one = bitmap()
    other = one.copy()
    other.mark({5})
    other.change(events=7)
    assert one.marked() == set()
    assert one.header.events == 0


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("magic", 1, "magic"),
        ("version", 5, "version is 5"),
        ("version", 6, "version is 6"),
        ("nodes", 2, "cluster"),
        ("chunksize", 256, "chunk size"),
        ("chunksize", 3 * MIB, "chunk size"),
        ("uuid", b"other", "another array"),
        ("sync_size", 0, "covers nothing"),
    ],
)
def test_faults_of_a_header(field: str, value: object, sentence: str) -> None:
    good = bitmap().header
    assert header_fault(good, UUID) is None
    assert sentence in str(header_fault(good.replace(**{field: value}), UUID))
