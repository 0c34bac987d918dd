import subprocess
from pathlib import Path

import pytest

from twinlock.block import signatures
from twinlock.block.signatures import Signature, probe, probe_all
from twinlock.errors import LibraryMissing, MemberUnusable
from twinlock.units import MIB


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    with path.open("wb") as file:
        file.truncate(16 * MIB)
    return path


def test_a_blank_file_has_none(image: Path) -> None:
    assert probe(str(image)) is None


def test_an_empty_file_has_none(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert probe(str(tmp_path / "empty")) is None


def test_a_file_system_is_named(image: Path) -> None:
    subprocess.run(["mkfs.ext4", "-q", "-L", "photos", str(image)], check=True)
    found = probe(str(image))
    assert found is not None
    assert (found.type, found.usage, found.label) == ("ext4", "filesystem", "photos")
    assert str(found) == "a file system (ext4) named 'photos'"


def test_a_partition_table_is_named(image: Path) -> None:
    table = bytearray(512)
    table[446:462] = bytes.fromhex("00000000830000000008000000180000")
    table[510:512] = b"\x55\xaa"
    with image.open("r+b") as file:
        file.write(table)
    assert str(probe(str(image))) == "a partition table (dos)"


def test_a_container_is_named(image: Path) -> None:
    with image.open("r+b") as file:
        file.write(b"LUKS\xba\xbe\0\1")
    assert str(probe(str(image))) == "an encrypted container (crypto_LUKS)"


def test_an_old_array_is_found_at_the_end(image: Path) -> None:
    with image.open("r+b") as file:
        file.seek(16 * MIB - 64 * 1024)
        header = [
            0xA92B4EFC,
            0,
            90,
            0,
            0,
            0x11111111,
            0,
            1,
            8192,
            2,
            2,
            0,
            0,
            0x22222222,
            0x33333333,
            0x44444444,
        ]
        file.write(b"".join(word.to_bytes(4, "little") for word in header).ljust(4096, b"\0"))
    found = probe(str(image))
    assert found is not None
    assert (found.type, found.usage) == ("linux_raid_member", "raid")


def test_all_are_found_not_the_first_only(image: Path) -> None:
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    with image.open("r+b") as file:
        file.write(b"LUKS\xba\xbe\0\1")
    assert {found.type for found in probe_all(str(image))} == {"crypto_LUKS", "ext4"}


def test_an_unknown_usage_is_shown_as_it_is() -> None:
    assert str(Signature("odd", "quaint")) == "quaint (odd)"


@pytest.mark.parametrize("path", ["missing", "."])
def test_what_cannot_be_read_is_unusable(tmp_path: Path, path: str) -> None:
    with pytest.raises(MemberUnusable):
        probe(str(tmp_path / path))


def test_without_the_library_it_is_named(monkeypatch: pytest.MonkeyPatch, image: Path) -> None:
    signatures._load.cache_clear()
    monkeypatch.setattr(signatures, "_LIBRARY", "libblkid-that-is-not.so.1")
    with pytest.raises(LibraryMissing, match="apt-get install libblkid1"):
        probe(str(image))
    signatures._load.cache_clear()
