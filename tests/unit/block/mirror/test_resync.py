"""Copying what may differ: which chunks, in which direction, and what stays true meanwhile."""

from threading import Thread

import pytest

from tests.unit.block.arrays import BLOCK, SIZE, Array, array, make, media
from twinlock.block.faulty import FaultyDevice
from twinlock.block.memory import MemoryDevice
from twinlock.block.mirror import copying
from twinlock.block.mirror.layout import member_layout
from twinlock.block.mirror.member import MemberState, read_member
from twinlock.block.mirror.mirror import IDLE
from twinlock.block.mirror.resync import PIECE
from twinlock.block.mirror.superblock import Feature
from twinlock.errors import SpaceExhausted
from twinlock.units import MIB

DATA = member_layout(SIZE).data_offset
CHUNK = 4 * MIB
A, B, C = (bytes([letter]) * BLOCK for letter in b"abc")


@pytest.fixture
def dense(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holes are copied as data are: one piece a step."""
    monkeypatch.setattr(copying, "_hole", lambda *_: 0)


def states(made: Array) -> list[MemberState]:
    return [member.state for member in made.mirror.status().members]


def data(medium: MemoryDevice, offset: int = 0, length: int | None = None) -> bytes:
    return bytes(medium.read(DATA + offset, SIZE - DATA - offset if length is None else length))


def finish(made: Array) -> None:
    made.settle()
    made.mirror.flush()


def test_a_crash_costs_the_marked_chunks_only() -> None:
    made = array()
    made.mirror.write(3 * CHUNK, A)
    made.crash()
    made.media[1].write(DATA + 3 * CHUNK, B)  # only one member got the second write
    made.media[1].write(DATA + 5 * CHUNK, B)  # a difference no crash can make: it shows what is copied
    made.start()
    finish(made)
    assert data(made.media[1], 3 * CHUNK, BLOCK) == A
    assert data(made.media[1], 5 * CHUNK, BLOCK) == B
    assert made.notes.progress[-1] == (CHUNK, CHUNK)
    assert read_member(made.media[0]).superblock.clean


def test_what_a_reader_saw_before_the_resync_is_what_stays() -> None:
    made = array()
    made.mirror.write(0, A)
    made.crash()
    made.media[0].write(DATA, B)
    seen = bytes(made.start().read(0, BLOCK))
    finish(made)
    assert data(made.media[0], 0, BLOCK) == data(made.media[1], 0, BLOCK) == seen == B


def test_members_in_sync_that_agree_are_not_written_to() -> None:
    made = array()
    made.mirror.write(0, A)
    made.mirror.flush()
    made.crash()
    made.start()
    for disk in made.disks:
        disk.operations.clear()
    while made.mirror.step() < IDLE:
        pass
    assert {kind for disk in made.disks for kind, _, _ in disk.operations} == {"r"}


def test_a_first_build_makes_the_members_agree() -> None:
    disks = media()
    disks[1].write(DATA, B)
    disks[1].write(SIZE - BLOCK - MIB, C)
    made = Array(disks)
    make(disks, assume_clean=False)
    made.start()
    assert made.mirror.status().dirty
    finish(made)
    assert data(disks[0]) == data(disks[1])
    assert not made.mirror.status().dirty
    total = made.mirror.size
    assert made.notes.progress[-1] == (total, total)


def test_a_member_that_was_away_catches_up_from_the_bitmap() -> None:
    made = array()
    made.mirror.write(0, A)
    made.stop()
    made.start(0)
    made.mirror.write(2 * CHUNK, B)
    made.stop()
    made.media[1].write(DATA + 7 * CHUNK, C)  # outside the marked chunks: stays as it is
    made.start()
    assert states(made) == [MemberState.IN_SYNC, MemberState.REBUILDING]
    features = read_member(made.media[1]).superblock.features
    assert features == Feature.BITMAP_OFFSET | Feature.RECOVERY_OFFSET | Feature.RECOVERY_BITMAP
    assert bytes(made.mirror.read(2 * CHUNK, BLOCK)) == B
    finish(made)
    assert states(made) == [MemberState.IN_SYNC, MemberState.IN_SYNC]
    assert data(made.media[1], 2 * CHUNK, BLOCK) == B
    assert data(made.media[1], 7 * CHUNK, BLOCK) == C
    assert made.notes.progress[-1] == (CHUNK, CHUNK)
    assert read_member(made.media[1]).superblock.features == Feature.BITMAP_OFFSET


def test_a_member_that_failed_comes_back() -> None:
    made = array()
    made.mirror.write(0, A)
    made.disks[0].vanish()
    made.mirror.write(0, B)
    made.mirror.write(CHUNK, B)
    made.mirror.flush()
    made.crash()
    made.start()
    assert states(made) == [MemberState.REBUILDING, MemberState.IN_SYNC]
    assert bytes(made.mirror.read(0, BLOCK)) == B
    finish(made)
    assert data(made.media[0]) == data(made.media[1])


def test_a_member_that_missed_cleared_bits_is_copied_whole() -> None:
    made = array(3)
    made.mirror.write(0, A)
    made.stop()
    old = made.media[2]
    kept = bytes(old.read(0, SIZE))
    made.start(0, 1, 2)
    made.mirror.write(CHUNK, B)
    made.stop()
    old.write(0, kept)  # it was away while the bits were cleared
    made.start()
    assert states(made) == [MemberState.IN_SYNC, MemberState.IN_SYNC, MemberState.REBUILDING]
    finish(made)
    assert data(old) == data(made.media[0])
    assert made.notes.progress[-1] == (made.mirror.size, made.mirror.size)


@pytest.mark.usefixtures("dense")
def test_a_full_copy_goes_on_where_a_clean_stop_left_it() -> None:
    made = array()
    made.stop()
    blank = MemoryDevice(SIZE, BLOCK, path="new")
    header = read_member(made.media[1]).superblock
    made.start(0)
    for chunk in range(4):
        made.mirror.write(chunk * CHUNK, A)
    made.stop()
    filling = header.change(feature_map=Feature.BITMAP_OFFSET | Feature.RECOVERY_OFFSET, events=0)
    blank.write(4096, filling.build())
    made.media[1] = blank
    made.start()
    for _ in range(6 * CHUNK // PIECE):
        made.mirror.step()
    made.stop()
    assert read_member(blank).superblock.header.recovery_offset == 6 * CHUNK // 512
    blank.write(DATA + 5 * CHUNK, B)  # behind the offset: not copied again
    made.start()
    assert states(made)[1] is MemberState.REBUILDING
    finish(made)
    assert data(blank, 5 * CHUNK, BLOCK) == B
    assert data(blank, 6 * CHUNK) == data(made.media[0], 6 * CHUNK)
    assert data(blank, 0, 4 * CHUNK) == data(made.media[0], 0, 4 * CHUNK)


@pytest.mark.usefixtures("dense")
def test_a_crash_in_the_middle_of_a_full_copy_loses_nothing() -> None:
    made = array()
    made.stop()
    made.start(0)
    made.mirror.write(0, A)
    made.stop()
    header = read_member(made.media[1]).superblock
    filling = header.change(feature_map=Feature.BITMAP_OFFSET | Feature.RECOVERY_OFFSET, events=0)
    made.media[1].write(4096, filling.build())
    made.start()
    for _ in range(8):
        made.mirror.step()
    made.clock.now += 61
    made.mirror.step()  # the offset is on disk now
    made.mirror.write(0, B)
    made.crash()
    made.media[1].write(DATA, C)  # the write to a part that was copied reached one member only
    made.start()
    finish(made)
    assert data(made.media[0]) == data(made.media[1])
    assert data(made.media[1], 0, BLOCK) == B


def test_writes_go_on_during_a_resync() -> None:
    made = Array(media())
    make(made.media, assume_clean=False)
    made.start()
    stop = False

    def write() -> None:
        turn = 0
        while not stop:
            made.mirror.write(turn * 7 % 200 * BLOCK * 16, bytes([turn % 256]) * BLOCK)
            turn += 1

    writers = [Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    while made.mirror.step() < IDLE:
        pass
    stop = True
    for writer in writers:
        writer.join()
    made.mirror.flush()
    assert data(made.media[0]) == data(made.media[1])


def test_a_target_that_fails_is_failed_and_the_copy_ends() -> None:
    made = array()
    made.stop()
    made.start(0)
    made.mirror.write(0, A)
    made.stop()
    made.start()
    made.disks[1].break_writes(DATA, BLOCK)
    made.settle()
    assert states(made) == [MemberState.IN_SYNC, MemberState.FAULTY]
    assert made.notes.failed == [1]


def test_a_source_that_cannot_be_read_keeps_the_member_out_until_it_can() -> None:
    made = array()
    made.stop()
    made.start(0)
    made.mirror.write(0, A)
    made.mirror.write(CHUNK, B)
    made.stop()
    made.start()
    made.disks[0].break_reads(DATA, BLOCK)
    made.settle()
    assert made.notes.stalled
    assert states(made) == [MemberState.IN_SYNC, MemberState.REBUILDING]
    made.mirror.write(0, C)  # written again, the sector can be read
    made.settle()
    assert states(made) == [MemberState.IN_SYNC, MemberState.IN_SYNC]
    made.mirror.flush()
    assert data(made.media[0]) == data(made.media[1])


def test_a_target_without_room_waits_for_it() -> None:
    made = array()
    made.stop()
    made.start(0)
    made.mirror.write(0, A)
    made.stop()
    made.start()
    made.disks[1].plan = "S"
    made.mirror.step()
    assert made.notes.full == [1]
    assert made.mirror.step() >= IDLE
    finish(made)
    assert states(made) == [MemberState.IN_SYNC, MemberState.IN_SYNC]


def test_an_end_of_a_copy_that_cannot_be_written_down_is_tried_again() -> None:
    made = array()
    made.stop()
    made.start(0)
    made.stop()
    made.start()
    made.disks[0].plan, made.disks[1].plan = "S", ""
    assert made.mirror.step() >= IDLE
    assert len(made.notes.stalled) == 1
    made.settle()
    assert states(made) == [MemberState.IN_SYNC, MemberState.IN_SYNC]


@pytest.mark.parametrize("source", [0, 1])
def test_a_resync_source_with_a_bad_block_is_repaired_from_the_other(source: int) -> None:
    made = array()
    made.mirror.write(0, A)
    made.crash()
    made.start()
    made.disks[source].break_reads(DATA, BLOCK)
    finish(made)
    assert states(made) == [MemberState.IN_SYNC, MemberState.IN_SYNC]
    assert data(made.media[0], 0, BLOCK) == data(made.media[1], 0, BLOCK) == A


# -- what comes between ---------------------------------------------------------------------------


def catching_up() -> Array:
    """Member 1 missed a write to the first chunk, and is about to be brought up to date."""
    made = array()
    made.mirror.write(0, A)
    made.stop()
    made.start(0)
    made.mirror.write(0, B)
    made.stop()
    made.start()
    return made


def filling() -> Array:
    """Member 1 is about to be copied whole."""
    made = array()
    made.stop()
    made.start(0)
    made.mirror.write(0, A)
    made.stop()
    header = read_member(made.media[1]).superblock
    blank = header.change(feature_map=Feature.BITMAP_OFFSET | Feature.RECOVERY_OFFSET, events=0)
    made.media[1].write(4096, blank.build())
    made.start()
    return made


def test_a_write_flushed_while_a_rebuild_ends_is_on_the_rebuilt_member(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = catching_up()
    rebuilt, late = made.disks[1], [C]
    flush = rebuilt.flush

    def slow_flush() -> None:
        flush()
        if late:  # the flush is over, the member not yet in sync
            made.mirror.write(0, late.pop())
            made.mirror.flush()

    monkeypatch.setattr(rebuilt, "flush", slow_flush)
    while made.mirror.step() < IDLE:
        pass
    assert states(made) == [MemberState.IN_SYNC, MemberState.IN_SYNC]
    assert not late
    for disk in made.disks:
        disk.power_cut(lambda _index: False)
    assert data(made.media[0], 0, BLOCK) == data(made.media[1], 0, BLOCK) == C


def no_room_once(disk: FaultyDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next write of data finds no room."""
    write, full = disk.write, [True]

    def refuse(offset: int, stored: bytes) -> None:
        if offset >= DATA and full:
            full.clear()
            raise SpaceExhausted("no room", offset=offset)
        write(offset, stored)

    monkeypatch.setattr(disk, "write", refuse)


def test_what_a_rebuilding_member_missed_behind_the_copy_is_copied_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = catching_up()
    made.mirror.step()  # the first piece of the chunk is copied
    no_room_once(made.disks[1], monkeypatch)
    made.mirror.write(0, C)  # good: the member in sync has it
    finish(made)
    assert states(made) == [MemberState.IN_SYNC, MemberState.IN_SYNC]
    assert data(made.media[0], 0, BLOCK) == data(made.media[1], 0, BLOCK) == C


def test_what_a_member_in_sync_missed_behind_the_copy_is_copied_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = array()
    made.mirror.write(0, A)
    made.crash()
    made.start()
    made.mirror.step()
    no_room_once(made.disks[1], monkeypatch)
    with pytest.raises(SpaceExhausted):
        made.mirror.write(0, C)
    finish(made)
    assert data(made.media[0], 0, BLOCK) == data(made.media[1], 0, BLOCK)


def test_one_unreadable_block_keeps_nothing_else_from_being_copied() -> None:
    made = array()
    made.stop()
    made.start(0)
    for piece in range(CHUNK // PIECE):
        made.mirror.write(piece * PIECE, A * (PIECE // BLOCK))
    made.stop()
    made.start()
    bad = PIECE + 3 * BLOCK
    made.disks[0].break_reads(DATA + bad, BLOCK)
    made.settle()
    assert states(made) == [MemberState.IN_SYNC, MemberState.REBUILDING]
    expected = data(made.media[0], 0, CHUNK)
    copied = bytes(made.disks[1].read(DATA, CHUNK))
    assert copied[:bad] == expected[:bad]
    assert copied[bad + BLOCK :] == expected[bad + BLOCK :]
    assert (CHUNK, CHUNK) not in made.notes.progress
    made.mirror.write(bad, C)  # written again, it can be read
    finish(made)
    assert states(made) == [MemberState.IN_SYNC, MemberState.IN_SYNC]
    assert data(made.media[0], 0, CHUNK) == data(made.media[1], 0, CHUNK)
    assert made.notes.progress[-1] == (CHUNK, CHUNK)


def test_another_try_does_not_write_again_what_was_copied() -> None:
    made = catching_up()
    made.disks[0].break_reads(DATA + 3 * BLOCK, BLOCK)
    made.settle()
    made.disks[1].operations.clear()
    tries = len(made.notes.stalled)
    made.settle()
    assert len(made.notes.stalled) > tries
    assert [offset for kind, offset, _ in made.disks[1].operations if kind == "w" and offset >= DATA] == []


# -- how far it came, for others to read ----------------------------------------------------------


def offset_on_disk(made: Array) -> int:
    return int(read_member(made.media[1]).superblock.header.recovery_offset) * 512


def copy_two_chunks(made: Array) -> None:
    for _ in range(2 * CHUNK // PIECE):
        made.mirror.step()
    made.clock.now += 61
    made.mirror.step()


@pytest.mark.usefixtures("dense")
def test_a_rebuild_says_how_far_it_came_while_nobody_writes() -> None:
    made = filling()
    copy_two_chunks(made)
    assert offset_on_disk(made) == 2 * CHUNK
    made.mirror.write(0, B)
    assert offset_on_disk(made) == 0


@pytest.mark.usefixtures("dense")
def test_the_offset_is_gone_before_the_first_byte_of_a_write() -> None:
    made = filling()
    copy_two_chunks(made)
    seen: list[int] = []

    def look(kind: str, offset: int, _length: int) -> None:
        if kind == "w" and offset >= DATA:
            seen.append(offset_on_disk(made))

    for disk in made.disks:
        disk.hook = look
    made.mirror.write(0, B)
    assert seen == [0, 0]


@pytest.mark.usefixtures("dense")
def test_no_offset_is_noted_during_writes() -> None:
    made = filling()
    made.mirror.write(0, B)
    for _ in range(2 * CHUNK // PIECE):
        made.mirror.step()
    made.mirror.write(0, C)  # below what is copied
    made.clock.now += 61
    made.mirror.step()
    assert offset_on_disk(made) == 0


@pytest.mark.usefixtures("dense")
def test_an_offset_covers_nothing_that_is_not_on_the_medium() -> None:
    made = filling()
    copy_two_chunks(made)
    made.mirror.write(0, B)
    for _ in range(2):  # to rest, and clean again, with the write unflushed on the member that rebuilds
        made.clock.now += 6
        made.mirror.step()
    assert read_member(made.media[0]).superblock.clean
    for disk in made.disks:
        disk.power_cut(lambda _index: False)
    assert data(made.media[1], 0, BLOCK) != B
    assert offset_on_disk(made) == 0


@pytest.mark.usefixtures("dense")
def test_a_member_that_catches_up_by_the_bitmap_has_no_offset() -> None:
    made = catching_up()
    made.mirror.write(3 * CHUNK, A)
    made.stop()
    made.start(0)
    made.mirror.write(0, C)
    made.mirror.write(3 * CHUNK, C)
    made.stop()
    made.start()
    for _ in range(CHUNK // PIECE):
        made.mirror.step()
    made.clock.now += 61
    made.mirror.step()
    assert states(made)[1] is MemberState.REBUILDING
    assert offset_on_disk(made) == 0
    made.stop()
    assert offset_on_disk(made) == 0


def test_an_offset_that_a_crash_during_writes_left_is_not_passed_on() -> None:
    made = filling()
    made.mirror.write(0, B)
    made.crash()
    left = read_member(made.media[1]).superblock.change(recovery_offset=2 * CHUNK // 512)  # as by the kernel
    made.media[1].write(4096, left.build())
    made.start()
    assert states(made)[1] is MemberState.REBUILDING
    assert offset_on_disk(made) == 0
    finish(made)
    assert data(made.media[0]) == data(made.media[1])
