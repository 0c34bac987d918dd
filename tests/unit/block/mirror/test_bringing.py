"""What a member is given, and what is not asked of it before."""

import pytest

from tests.unit.block.arrays import BLOCK, SIZE, Array, Keeper, array, make, media
from twinlock.block.checked import device
from twinlock.block.mirror import bringing
from twinlock.block.mirror.bringing import SLICE, UNSEEN
from twinlock.block.mirror.layout import member_layout
from twinlock.block.mirror.member import MemberState
from twinlock.block.mirror.mirror import IDLE
from twinlock.block.mirror.resync import PIECE
from twinlock.errors import SpaceExhausted
from twinlock.native.checksum import entries_of
from twinlock.units import MIB

DATA = member_layout(SIZE).data_offset
END = SIZE - MIB
"""Behind it may be what is wiped when an array is made."""
A, B, C = (bytes([letter]) * BLOCK for letter in b"abc")


def old_contents() -> Array:
    """Two members in sync by name, that held other things and are about to be built."""
    made = Array([Keeper(SIZE, BLOCK, path=f"disk{number}") for number in (0, 1)])
    for medium, fill in zip(made.media, (b"x", b"y"), strict=True):
        for offset in range(DATA, END, MIB):
            medium.write(offset, fill * min(MIB, END - offset))
    make(made.media, assume_clean=False)
    made.start()
    for disk in made.disks:
        disk.operations.clear()
    return made


def both(made: Array) -> tuple[bytes, bytes]:
    first, second = (bytes(medium.read(DATA, END - DATA)) for medium in made.media)
    return first, second


def data_bytes(made: Array, number: int, wanted: str) -> int:
    return sum(
        length for kind, at, length in made.disks[number].operations if kind == wanted and DATA <= at < END
    )


def test_where_nothing_agrees_the_target_is_hardly_read() -> None:
    made = old_contents()
    made.settle()
    first, second = both(made)
    assert first == second
    assert first[:1] == b"x"
    total = made.mirror.size
    assert data_bytes(made, 1, "w") >= END - DATA
    assert data_bytes(made, 1, "r") <= (total // PIECE // (UNSEEN + 1) + 3) * PIECE
    assert data_bytes(made, 0, "r") <= total + PIECE


def test_only_the_slices_that_differ_are_written() -> None:
    made = array()
    made.stop()
    for medium in made.media:
        medium.write(DATA, A * (PIECE // BLOCK))
    made.media[1].write(DATA + 3 * SLICE + BLOCK, B)
    make(made.media, assume_clean=False)
    made.start()
    made.settle()
    written = [at for kind, at, _ in made.disks[1].operations if kind == "w" and DATA <= at < DATA + PIECE]
    assert written == [DATA + 3 * SLICE]
    assert made.media[1].read(DATA, PIECE) == made.media[0].read(DATA, PIECE)


def test_after_the_pieces_that_are_not_looked_at_there_is_another_look() -> None:
    made = old_contents()
    seen = DATA + (UNSEEN + 1) * PIECE
    made.media[1].write(seen, bytes(made.media[0].read(seen, PIECE)))
    made.settle()
    assert not [at for kind, at, _ in made.disks[1].operations if kind == "w" and seen <= at < seen + PIECE]
    first, second = both(made)
    assert first == second


def test_a_block_that_cannot_be_read_on_a_first_build_is_repaired_and_told_of() -> None:
    made = old_contents()
    made.disks[1].break_reads(DATA + 5 * BLOCK, BLOCK)
    made.settle()
    first, second = both(made)
    assert first == second
    assert made.notes.repaired == [(1, 5 * BLOCK, BLOCK)]


def test_a_first_build_without_room_for_a_moment_goes_on_later(monkeypatch: pytest.MonkeyPatch) -> None:
    made = old_contents()
    write, full = made.disks[1].write, [True]

    def refuse(offset: int, stored: bytes) -> None:
        if DATA <= offset < END and full:
            full.clear()
            raise SpaceExhausted("no room", offset=offset)
        write(offset, stored)

    monkeypatch.setattr(made.disks[1], "write", refuse)
    made.settle()
    assert made.notes.full[0] == 1
    first, second = both(made)
    assert first == second


def test_checksums_that_verified_the_source_are_the_target_s(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Array(media(1))
    made.media += media(1)
    make(made.media)
    made.start(0)
    content = A + B + C
    made.mirror.write(0, content * 100)
    made.mirror.flush()
    computed: list[int] = []

    def count(data: bytes) -> bytes:
        computed.append(memoryview(data).nbytes)
        return entries_of(data)

    monkeypatch.setattr(device, "entries_of", count)
    monkeypatch.setattr(bringing, "entries_of", count)
    made.mirror.add_member(made.media[1])
    while made.mirror.step() < IDLE:
        pass
    source, target = made.mirror._record.readers
    assert target.state is MemberState.IN_SYNC
    assert source.checked is not None
    assert target.checked is not None
    length = 100 * len(content)
    assert target.checked.entries(0, length) == source.checked.entries(0, length) == entries_of(content * 100)
    assert bytes(target.data.read(0, length)) == content * 100
    assert sum(computed) <= 2 * MIB  # what was written, in whole pieces, once; all else is a hole


def test_a_member_that_knows_nothing_does_not_overrule_one_that_does() -> None:
    made = array()
    made.mirror.write(0, A)
    made.mirror.flush()
    preferred = made.mirror._record.readers[0]
    assert preferred.checked is not None
    preferred.checked.forget(0, BLOCK)
    preferred.checked.lower.write(0, B)
    preferred.checked.flush()
    made.crash()
    made.start()
    made.settle()
    assert bytes(made.media[0].read(DATA, BLOCK)) == bytes(made.media[1].read(DATA, BLOCK)) == A
