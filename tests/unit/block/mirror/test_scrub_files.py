"""Bit rot on real files, found by scrub past the page cache."""

import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.block.arrays import BLOCK, UUID, Clock, Notes, make
from twinlock.block.file import FileDevice
from twinlock.block.mirror.member import read_member
from twinlock.block.mirror.mirror import Mirror
from twinlock.block.mirror.scrub_status import ScrubState, ScrubStatus
from twinlock.units import MIB

WRITTEN = 8 * MIB
ROTTEN = 1000


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "a", tmp_path / "b"]
    devices = [FileDevice.open(path, size=16 * MIB) for path in paths]
    make(devices)
    for device in devices:
        device.close()
    mirror = opened(paths)
    mirror.write(0, random.Random(1).randbytes(WRITTEN))
    mirror.close()
    return paths


def opened(paths: Sequence[Path], *, checksums: bool = True) -> Mirror:
    found = [read_member(FileDevice.open(path)) for path in paths]
    mirror = Mirror.assemble(found, expected_uuid=UUID, clock=Clock(), observer=Notes())
    if not checksums:
        for member in mirror._record.members:
            assert member.checked is not None
            member.data, member.checked = member.checked.lower, None
    return mirror


def flip(path: Path, places: Sequence[int]) -> None:
    """Change one bit at each place, and drop the page cache's copy."""
    with path.open("r+b") as file:
        for place in places:
            byte = os.pread(file.fileno(), 1, place)[0]
            os.pwrite(file.fileno(), bytes([byte ^ 1 << place % 8]), place)
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def rotten_data(path: Path) -> list[int]:
    device = FileDevice.open(path, exclusive=False)
    start = read_member(device).superblock.header.data_offset * 512
    device.close()
    chosen = random.Random(2)
    blocks = chosen.sample(range(WRITTEN // BLOCK), ROTTEN)
    return [start + block * BLOCK + chosen.randrange(BLOCK) for block in blocks]


def data_of(path: Path) -> bytes:
    device = FileDevice.open(path, exclusive=False)
    start = read_member(device).superblock.header.data_offset * 512
    found = bytes(device.read_medium(start, WRITTEN))
    device.close()
    return found


def scrub(mirror: Mirror, *, repair: bool = False) -> ScrubStatus:
    mirror.start_scrub(repair=repair)
    while mirror.scrub_status.state is ScrubState.RUNNING:
        mirror.step()
    return mirror.scrub_status


EXPECTED = random.Random(1).randbytes(WRITTEN)


@pytest.mark.parametrize("index", [0, 1])
def test_a_thousand_flipped_blocks_are_found_and_put_right_on_the_medium(
    files: list[Path], index: int
) -> None:
    flip(files[index], rotten_data(files[index]))
    mirror = opened(files)
    found = scrub(mirror)
    assert (found.wrong, found.repaired, found.mismatches, found.lost) == (ROTTEN, ROTTEN, 0, 0)
    assert mirror.status().members[index].wrong_checksums == ROTTEN
    mirror.close()
    assert data_of(files[0]) == data_of(files[1]) == EXPECTED
    mirror = opened(files)
    assert not scrub(mirror).findings, "the checksums are right again, on the medium too"
    mirror.close()


def test_a_hundred_flips_in_the_table_cost_no_data(files: list[Path]) -> None:
    device = FileDevice.open(files[0])
    member = read_member(device)
    device.close()
    mirror = opened(files)
    checked = mirror._record.members[0].checked
    assert checked is not None
    start = checked.place.entries_offset
    mirror.close()
    assert member.superblock.header.data_offset * 512 > start
    entries = random.Random(3).sample(range(WRITTEN // BLOCK), 100)
    flip(files[0], [start + entry * 4 + entry % 4 for entry in entries])
    mirror = opened(files)
    found = scrub(mirror)
    assert (found.wrong, found.repaired, found.lost) == (100, 100, 0)
    mirror.close()
    assert data_of(files[0]) == data_of(files[1]) == EXPECTED
    mirror = opened(files)
    assert not scrub(mirror).findings
    mirror.close()


def test_without_checksums_the_mismatches_are_reported_and_repair_makes_them_agree(files: list[Path]) -> None:
    flip(files[1], rotten_data(files[1]))
    mirror = opened(files, checksums=False)
    found = scrub(mirror)
    assert (found.mismatches, found.repaired, found.lost) == (ROTTEN, 0, 0)
    found = scrub(mirror, repair=True)
    assert (found.mismatches, found.repaired) == (ROTTEN, ROTTEN)
    mirror.close()
    assert data_of(files[0]) == data_of(files[1]) == EXPECTED
