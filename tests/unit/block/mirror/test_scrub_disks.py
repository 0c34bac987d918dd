"""Scrub on disks: the medium changes below what the kernel remembers of it; and where there is no room."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest

from tests.unit.block.arrays import BLOCK, Notes
from tests.unit.block.loops import Loops, loops
from tests.unit.block.mirror.members_on import SIZE, Members
from twinlock.block.mirror.layout import member_layout
from twinlock.block.mirror.mirror import Mirror
from twinlock.block.mirror.scrub_status import ScrubState, ScrubStatus
from twinlock.units import MIB

DATA = member_layout(SIZE).data_offset
CONTENT = Random(4).randbytes(4 * MIB)


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[Loops]:
    with loops(tmp_path) as made:
        yield made


def scrub(mirror: Mirror, *, repair: bool = False) -> ScrubStatus:
    mirror.start_scrub(repair=repair)
    return finish(mirror)


def finish(mirror: Mirror) -> ScrubStatus:
    while mirror.scrub_status.state is ScrubState.RUNNING:
        mirror.step()
    return mirror.scrub_status


def rot(medium: Path, blocks: Sequence[int], bit: int = 4) -> None:
    """Change a bit of each block of the data, on the medium."""
    with medium.open("r+b", buffering=0) as file:
        for block in blocks:
            file.seek(DATA + block * BLOCK + 99)
            byte = file.read(1)[0]
            file.seek(DATA + block * BLOCK + 99)
            file.write(bytes([byte ^ bit]))


def on_medium(medium: Path, length: int = len(CONTENT)) -> bytes:
    with medium.open("rb") as file:
        file.seek(DATA)
        return file.read(length)


def remembered(device: Path, block: int) -> bytes:
    """What the page cache of the disk has."""
    with device.open("rb", buffering=0) as file:
        file.seek(DATA + block * BLOCK)
        return file.read(BLOCK)


@pytest.mark.parametrize("checksums", [True, pytest.param(False, marks=pytest.mark.long)])
@pytest.mark.parametrize("sector", [4096, pytest.param(512, marks=pytest.mark.long)])
def test_rot_below_the_page_cache_of_a_disk_is_found_and_put_right(
    disks: Loops, sector: int, checksums: bool
) -> None:
    """A read would be answered by the cache, and call the disk sound."""
    members = Members(disks, sector)
    members.make()
    mirror = members.start(checksums=checksums)
    mirror.write(0, CONTENT)
    members.settle(mirror)
    assert bytes(mirror.read(0, len(CONTENT))) == CONTENT
    blocks = Random(sector).sample(range(len(CONTENT) // BLOCK), 50)
    rot(disks.backing("right"), blocks)
    old = CONTENT[blocks[0] * BLOCK :][:BLOCK]
    assert remembered(members.paths["right"], blocks[0]) == old, "the cache knows nothing of it"
    assert on_medium(disks.backing("right")) != CONTENT
    found = scrub(mirror)
    expected = (50, 50, 0) if checksums else (0, 0, 50)
    assert (found.wrong, found.repaired, found.mismatches) == expected
    if not checksums:
        assert scrub(mirror, repair=True).repaired == 50
    assert on_medium(disks.backing("right")) == on_medium(disks.backing("left")) == CONTENT
    assert not scrub(mirror).findings
    mirror.close()


@pytest.mark.long
@pytest.mark.parametrize("sector", [512, 4096])
def test_discarded_blocks_that_read_differently_are_nobodys_business(disks: Loops, sector: int) -> None:
    members = Members(disks, sector)
    members.make()
    mirror = members.start(observer=(notes := Notes()))
    mirror.write(0, CONTENT)
    mirror.discard(MIB, MIB)
    members.settle(mirror)
    for name, bit in (("left", 1), ("right", 2)):
        rot(disks.backing(name), range(300, 310), bit)
    found = scrub(mirror)
    assert not found.findings
    assert len(bytes(mirror.read(MIB, MIB))) == MIB
    assert (notes.wrong, notes.failed, notes.lost) == ([], [], [])
    mirror.close()


def test_a_scrub_that_was_cancelled_begins_anew_and_misses_nothing(disks: Loops) -> None:
    members = Members(disks, None)
    members.make()
    mirror = members.start()
    mirror.write(0, CONTENT)
    members.settle(mirror)
    mirror.start_scrub()
    for _ in range(2):
        mirror.step()
    assert 0 < mirror.scrub_status.done < mirror.scrub_status.total
    mirror.cancel_scrub()
    rot(members.paths["left"], [0, 5, 1000])  # two of them where the first one has been
    assert scrub(mirror).wrong == 3
    assert on_medium(members.paths["left"]) == CONTENT
    mirror.close()


def test_an_array_that_grows_is_scrubbed_to_its_new_end(disks: Loops) -> None:
    members = Members(disks, None)
    members.make()
    mirror = members.start(checksums=False)
    mirror.write(0, CONTENT)
    mirror.start_scrub()
    before = mirror.scrub_status.total
    for name in members.paths:
        members.enlarge(name, 2 * SIZE)
    mirror.grow()
    found = finish(mirror)
    assert found.done == found.total == mirror.size > before
    mirror.close()


# -- no room ------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which can be filled."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "none", str(place)], check=True)
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)  # a test that fails leaves files open


def fill(folder: Path) -> Path:
    """Take the last byte of a file system."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(BLOCK))
        except OSError:
            return filler


def lose(member: Path, blocks: range) -> None:
    """The file system gives back room that had data: they read as zeros now."""
    with member.open("r+b") as file:
        os.fsync(file)
    place = ("--offset", str(DATA + blocks.start * BLOCK), "--length", str(len(blocks) * BLOCK))
    subprocess.run(["fallocate", "--punch-hole", *place, str(member)], check=True)


def test_without_room_for_a_repair_no_member_fails_and_it_is_made_up_for_later(
    small: Path, tmp_path: Path
) -> None:
    with loops(small) as made:
        members = Members(made, None)
        members.make()
        mirror = members.start(observer=(notes := Notes()))
        mirror.write(0, CONTENT)
        members.settle(mirror)
        lose(members.paths["right"], range(100, 110))
        filler = fill(small)
        found = scrub(mirror)
        assert found.state is ScrubState.FINISHED
        assert (found.wrong, found.repaired, found.lost) == (10, 0, 0)
        assert notes.full, "somebody is told"
        assert notes.failed == []
        assert not mirror.status().degraded
        assert bytes(mirror.read(0, len(CONTENT))) == CONTENT
        filler.unlink()
        found = scrub(mirror)
        assert (found.wrong, found.repaired, found.lost) == (10, 10, 0)
        assert on_medium(members.paths["right"]) == CONTENT
        mirror.close()
