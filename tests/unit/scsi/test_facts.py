"""Geometry and identity refuse what cannot be."""

import pytest

from twinlock.scsi.geometry import Geometry
from twinlock.scsi.identity import Identity

NAA = bytes([0x30]) + bytes(7)


@pytest.mark.parametrize(("physical", "exponent"), [(512, 0), (1024, 1), (4096, 3)])
def test_physical_block_exponent(physical: int, exponent: int) -> None:
    geometry = Geometry(8, 512, physical)
    assert geometry.physical_block_exponent == exponent
    assert geometry.size == 4096


@pytest.mark.parametrize(
    ("blocks", "block", "physical"), [(0, 512, 512), (8, 4096, 512), (8, 512, 1536), (8, 512, 700)]
)
def test_bad_geometry(blocks: int, block: int, physical: int) -> None:
    with pytest.raises(ValueError, match="block"):
        Geometry(blocks, block, physical)


@pytest.mark.parametrize("naa", [NAA[:7], NAA + b"\0", bytes([0x60]) + bytes(7), b""])
def test_bad_naa(naa: bytes) -> None:
    with pytest.raises(ValueError, match="NAA"):
        Identity(naa, "1")


@pytest.mark.parametrize(
    "text",
    [
        {"vendor": "TOO LONG!"},
        {"product": "x" * 17},
        {"revision": "00001"},
        {"serial": "\n"},
        {"vendor": "é"},
    ],
)
def test_bad_texts(text: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="printable"):
        Identity(**{"naa": NAA, "serial": "1", **text})  # type: ignore[arg-type]


def test_identity_follows_the_array() -> None:
    one, same, other = (Identity.of_array(uuid) for uuid in (bytes(16), bytes(16), bytes(15) + b"\1"))
    assert one == same
    assert one.naa != other.naa
    assert one.serial != other.serial
    assert one.port_name is None
