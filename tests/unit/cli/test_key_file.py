"""Key files are read as cryptsetup reads them: every byte, from an offset, up to a size or 8 MiB."""

import os
from pathlib import Path

import pytest

from twinlock.cli.key_file import existing_secret, new_secret, read_key_file, refuse_one_input
from twinlock.errors import BadOption, PassphraseUnusable
from twinlock.units import MIB


@pytest.mark.parametrize(
    ("offset", "size", "expected"),
    [(None, None, b"\n\0ab\n"), (2, None, b"ab\n"), (None, 3, b"\n\0a"), (1, 2, b"\0a"), (0, 5, b"\n\0ab\n")],
)
def test_part_of_a_file(tmp_path: Path, offset: int | None, size: int | None, expected: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"\n\0ab\n")
    assert read_key_file(str(path), offset, size).get_secret_value() == expected


def test_from_a_pipe(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"0123456789")
    os.close(writing)
    assert read_key_file(f"/dev/fd/{reading}", 4, 3).get_secret_value() == b"456"
    os.close(reading)


@pytest.mark.parametrize(("content", "offset", "size"), [(b"", 0, None), (b"ab", 2, None), (b"ab", 0, 3)])
def test_too_short(tmp_path: Path, content: bytes, offset: int, size: int | None) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(PassphraseUnusable, match=r"not that many|is empty"):
        read_key_file(str(path), offset, size)


def test_as_large_as_cryptsetup_allows(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"x" * (8 * MIB))
    assert len(read_key_file(str(path), None, None)) == 8 * MIB
    path.write_bytes(b"x" * (8 * MIB + 1))
    with pytest.raises(PassphraseUnusable, match="more than 8 MiB"):
        read_key_file(str(path), None, None)
    assert len(read_key_file(str(path), 1, None)) == 8 * MIB


def test_options_that_contradict(tmp_path: Path) -> None:
    with pytest.raises(PassphraseUnusable, match="cannot be read"):
        read_key_file(str(tmp_path / "none"), None, None)
    with pytest.raises(BadOption, match="--new-key-file"):
        new_secret("a", "b", None, None)
    with pytest.raises(BadOption, match="needs --key-file"):
        existing_secret("a", None, 1, None)
    with pytest.raises(BadOption):
        refuse_one_input("-", None, "-")
