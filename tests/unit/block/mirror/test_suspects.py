"""What a crash left in doubt stays in doubt, on disk too, until it is settled: also through a growth."""

from pathlib import Path

import pytest

from tests.unit.block.arrays import BLOCK, Array, array
from tests.unit.block.mirror.changes.test_grow import LARGE, A, Files
from twinlock.block.file import FileDevice
from twinlock.block.mirror.layout import member_layout
from twinlock.block.mirror.member import MemberState, read_member
from twinlock.units import GIB, MIB

CHUNK = 4 * MIB
DATA = member_layout(64 * MIB).data_offset
B = b"b" * BLOCK


def torn(made: Array) -> None:
    """A crash after a write of which the data arrived, and the checksum did not."""
    made.mirror.write(CHUNK, A)
    made.mirror.flush()
    made.mirror.write(CHUNK, A)  # the chunk is marked again, if it was not
    made.crash()
    for medium in made.media:
        medium.write(DATA + CHUNK, B)


@pytest.mark.parametrize("present", [(0, 1), (0,)])
def test_bits_stay_until_all_is_settled(present: tuple[int, ...]) -> None:
    """A second crash finds the same chunks in doubt: else a copy that is right would be called rotten."""
    made = array()
    torn(made)
    mirror = made.start(*present)
    for _ in range(3):
        mirror._intent.sweep(mirror.flush)
        mirror._intent.rest(mirror.flush)
    mirror._intent.forget_needs()
    made.crash()
    mirror = made.start(*present)
    assert bytes(mirror.read(CHUNK, BLOCK)) == B
    if len(present) == 1:
        return
    assert mirror._intent.needed() == [1]
    made.settle()
    assert not mirror._record.suspects.chunks
    assert mirror.status().marked_chunks == 0
    assert not mirror.status().dirty


def test_what_has_nobody_to_be_copied_to_is_settled_all_the_same() -> None:
    made = array()
    torn(made)
    mirror = made.start(0)
    mirror._intent.forget_needs()
    assert mirror._intent.needed() == [1]
    made.settle()
    assert not mirror._record.suspects.chunks
    assert bytes(mirror.read(CHUNK, BLOCK)) == B


@pytest.mark.parametrize("gone", [0, 1])
def test_who_vanishes_unseen_does_not_keep_the_others_from_agreeing(gone: int) -> None:
    """Nobody writes, so the resync itself finds out; it goes on with those that are left."""
    made = array(3)
    torn(made)
    made.media[2].write(DATA + CHUNK, A)
    mirror = made.start()
    made.disks[gone].vanish()
    made.settle()
    assert not mirror._record.suspects.chunks
    assert [member.state for member in mirror.status().members].count(MemberState.IN_SYNC) == 2
    mirror.flush()
    left = [medium for number, medium in enumerate(made.media) if number != gone]
    assert len({bytes(medium.read(DATA + CHUNK, BLOCK)) for medium in left}) == 1


def test_a_growth_with_larger_chunks_keeps_what_is_in_doubt_and_what_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileDevice, "allocate", lambda *_: None)  # gigabytes for checksums
    files = Files(tmp_path, LARGE[0])
    mirror = files.start()
    places = (20 * MIB, 40 * GIB)
    for place in places:
        mirror.write(place, A)
    for member in mirror._record.members:
        member.device.close()  # a crash
    start = read_member(FileDevice.open(files.paths[0], writable=False, exclusive=False)).superblock
    for path in files.paths:
        with path.open("r+b") as file:
            for place in places:
                file.seek(start.header.data_offset * 512 + place)
                file.write(B)  # as if its checksum had not arrived
    files.enlarge(LARGE[1])
    mirror = files.start()
    before = mirror.status().chunk_size
    mirror.grow()
    chunk = mirror.status().chunk_size
    assert chunk > before
    assert mirror._intent.needed() == sorted({place // chunk for place in places})
    assert [bytes(mirror.read(place, BLOCK)) for place in places] == [B, B]
    mirror.close()
