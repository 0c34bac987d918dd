"""The running array: where bytes go, who fails, and what is on disk before a caller hears of it."""

from threading import Event, Thread

import pytest

from tests.unit.block.arrays import BLOCK, SIZE, START, UUID, Array, Keeper, array, make, media
from twinlock.block.faulty import FaultyDevice
from twinlock.block.memory import MemoryDevice
from twinlock.block.mirror.bitmap import Bitmap
from twinlock.block.mirror.layout import BITMAP_OFFSET, member_layout
from twinlock.block.mirror.member import MemberState, read_member
from twinlock.block.mirror.mirror import IDLE, Mirror
from twinlock.block.mirror.stamp import stamp
from twinlock.block.mirror.superblock import ROLE_FAULTY, Feature, Superblock
from twinlock.errors import (
    ArrayUnsupported,
    DeviceGone,
    MediumError,
    MemberOfOtherArray,
    MembersDiverged,
    MemberUnusable,
    NotAMember,
    SpaceExhausted,
    WriteFailed,
)
from twinlock.units import MIB, SECTOR

DATA = member_layout(SIZE).data_offset
A, B, C = (bytes([letter]) * BLOCK for letter in b"abc")


def on_disk(made: Array, index: int) -> Superblock:
    return read_member(made.media[index]).superblock


def bits(made: Array, index: int) -> set[int]:
    return Bitmap.parse(made.media[index].read(BITMAP_OFFSET, BLOCK)).marked()


def states(made: Array) -> list[MemberState]:
    return [member.state for member in made.mirror.status().members]


def operations(disk: FaultyDevice) -> list[tuple[str, str]]:
    """What a member was asked to do, and where: superblock, bitmap or data; checksums are another matter."""
    places = {4096: "superblock", BITMAP_OFFSET: "bitmap"}
    table = member_layout(SIZE).table_offset
    found = [each for each in disk.operations if not table <= each[1] < DATA]
    return [(kind, places.get(offset, "data")) for kind, offset, _length in found]


# -- reads, writes and their order ----------------------------------------------------------------


def test_a_write_is_on_both_members_at_the_same_place() -> None:
    made = array()
    made.mirror.write(MIB, A)
    made.mirror.flush()
    assert [bytes(medium.read(DATA + MIB, BLOCK)) for medium in made.media] == [A, A]


def test_the_record_is_durable_before_the_first_byte() -> None:
    made = array()
    for disk in made.disks:
        disk.operations.clear()
    made.mirror.write(0, A)
    for index, disk in enumerate(made.disks):
        assert operations(disk) == [("w", "bitmap"), ("w", "superblock"), ("w", "bitmap"), ("w", "data")]
        assert disk.unflushed == 1  # the data alone
        assert not on_disk(made, index).clean
        assert bits(made, index) == {0}


def test_later_writes_to_a_marked_chunk_are_just_writes() -> None:
    made = array()
    made.mirror.write(0, A)
    for disk in made.disks:
        disk.operations.clear()
    made.mirror.write(2 * BLOCK, B)
    made.mirror.write(0, B)
    assert [operations(disk) for disk in made.disks] == [[("w", "data")] * 2] * 2


def test_a_write_over_a_border_marks_both_chunks() -> None:
    made = array()
    made.mirror.write(4 * MIB - BLOCK, A + B)
    assert bits(made, 0) == bits(made, 1) == {0, 1}


def test_a_durable_write_is_on_both_media() -> None:
    made = array()
    made.mirror.write_durable(0, A)
    assert [disk.unflushed for disk in made.disks] == [0, 0]
    assert [bytes(medium.read(DATA, BLOCK)) for medium in made.media] == [A, A]


def test_overlapping_writes_reach_both_members_in_one_order() -> None:
    made = array()
    made.mirror.write(0, C)
    entered, go_on = Event(), Event()

    def slow(kind: str, _offset: int, _length: int) -> None:
        if kind == "w" and not entered.is_set():
            entered.set()
            go_on.wait(5)

    made.disks[0].hook = slow
    first = Thread(target=made.mirror.write, args=(0, A))
    first.start()
    entered.wait(5)
    second = Thread(target=made.mirror.write, args=(0, B))
    second.start()
    made.mirror.write(MIB, C)  # another place does not wait
    second.join(0.05)
    assert second.is_alive()
    go_on.set()
    first.join()
    second.join()
    assert [bytes(disk.read(DATA, BLOCK)) for disk in made.disks] == [B, B]


def test_reads_prefer_the_member_that_is_not_write_mostly() -> None:
    made = Array(media())
    make(made.media)
    superblock = on_disk(made, 0)
    made.media[0].write(4096, superblock.change(devflags=1).build())
    mirror = made.start()
    for disk in made.disks:
        disk.operations.clear()
    mirror.read(0, BLOCK)
    assert [operations(disk) for disk in made.disks] == [[], [("r", "data")]]


# -- errors ---------------------------------------------------------------------------------------


def test_a_failed_write_fails_the_member_before_it_is_acknowledged() -> None:
    made = array()
    made.mirror.write(0, A)
    made.disks[1].break_writes(DATA, BLOCK)
    events = on_disk(made, 0).header.events
    made.mirror.write(0, B)
    told = on_disk(made, 0)
    assert told.roles[:2] == (0, ROLE_FAULTY)
    assert told.header.events == events + 2  # one less would still count as in sync
    assert states(made) == [MemberState.IN_SYNC, MemberState.FAULTY]
    assert made.notes.failed == [1]
    assert bytes(made.mirror.read(0, BLOCK)) == B


def test_the_acknowledgement_waits_for_the_other_superblock() -> None:
    made = array()
    made.mirror.write(0, A)
    made.disks[1].break_writes(DATA, BLOCK)
    made.disks[0].plan = "wE"  # the data, then the bitmap's header of the commit
    with pytest.raises(WriteFailed):
        made.mirror.write(0, B)
    assert on_disk(made, 0).roles[:2] == (0, 1)
    made.mirror.write(BLOCK, C)  # and now it can be told: first of all it is
    assert on_disk(made, 0).roles[:2] == (0, ROLE_FAULTY)


def test_a_flush_does_not_succeed_on_a_failure_that_is_not_recorded() -> None:
    made = array()
    made.mirror.write(0, A)
    made.disks[1].break_writes(DATA, BLOCK)
    made.disks[0].plan = "wE"
    with pytest.raises(WriteFailed):
        made.mirror.write(0, B)
    made.disks[0].plan = "wfE"  # checksums, flush, then the bitmap's header of the commit
    with pytest.raises(WriteFailed):
        made.mirror.flush()
    made.mirror.flush()
    assert on_disk(made, 0).roles[:2] == (0, ROLE_FAULTY)


def test_a_failed_flush_fails_the_member() -> None:
    made = array()
    made.mirror.write(0, A)
    made.disks[0].plan = "E"
    made.mirror.flush()
    assert states(made) == [MemberState.FAULTY, MemberState.IN_SYNC]
    assert on_disk(made, 1).roles[:2] == (ROLE_FAULTY, 1)
    assert made.disks[1].unflushed == 0


def test_the_last_member_is_never_failed() -> None:
    made = array()
    made.mirror.write(0, A)
    made.disks[1].vanish()
    made.mirror.write(0, B)
    made.disks[0].break_writes(DATA, BLOCK)
    with pytest.raises(WriteFailed):
        made.mirror.write(0, C)
    made.disks[0].plan = "E"
    with pytest.raises(WriteFailed):
        made.mirror.flush()
    assert states(made) == [MemberState.IN_SYNC, MemberState.FAULTY]
    assert bytes(made.mirror.read(0, BLOCK)) == B


def test_both_failing_at_once_fails_nobody() -> None:
    made = array()
    made.mirror.write(0, A)
    for disk in made.disks:
        disk.break_writes(DATA, BLOCK)
    with pytest.raises(WriteFailed):
        made.mirror.write(0, B)
    assert states(made) == [MemberState.IN_SYNC, MemberState.IN_SYNC]


@pytest.mark.parametrize("full", [0, 1])
def test_no_room_fails_nobody_and_is_made_good_later(full: int) -> None:
    made = array()
    made.mirror.write(0, A)
    made.disks[full].plan = "S"
    with pytest.raises(SpaceExhausted):
        made.mirror.write(0, B)
    assert made.notes.full == [full]
    assert states(made) == [MemberState.IN_SYNC, MemberState.IN_SYNC]
    made.settle()
    left, right = (bytes(disk.read(DATA, BLOCK)) for disk in made.disks)
    assert left == right == (A if full == 0 else B)
    assert bits(made, 0) == set()


def test_no_room_on_one_and_an_error_on_the_other() -> None:
    made = array()
    made.mirror.write(0, A)
    made.disks[0].plan, made.disks[1].plan = "S", "E"
    with pytest.raises(SpaceExhausted):
        made.mirror.write(0, B)
    assert states(made) == [MemberState.IN_SYNC, MemberState.FAULTY]


def test_a_bad_block_is_answered_by_the_other_member_and_rewritten() -> None:
    made = array()
    made.mirror.write(0, A + B + C)
    made.disks[0].break_reads(DATA + BLOCK, BLOCK)
    assert made.mirror.read_nowait(BLOCK, BLOCK) is None
    assert bytes(made.mirror.read(0, 3 * BLOCK)) == A + B + C
    assert made.notes.repaired == [(0, BLOCK, BLOCK)]
    assert bytes(made.disks[0].read(DATA, 3 * BLOCK)) == A + B + C
    assert made.mirror.status().members[0].corrected_reads == 1


def test_bad_blocks_of_both_members_in_one_read() -> None:
    made = array()
    made.mirror.write(0, A + B + C)
    made.disks[0].break_reads(DATA, BLOCK)
    made.disks[1].break_reads(DATA + 2 * BLOCK, BLOCK)
    assert bytes(made.mirror.read(0, 3 * BLOCK)) == A + B + C


def test_a_block_that_nobody_can_read_is_named() -> None:
    made = array()
    made.mirror.write(0, A + B + C)
    for disk in made.disks:
        disk.break_reads(DATA + BLOCK, BLOCK)
    with pytest.raises(MediumError) as caught:
        made.mirror.read(0, 3 * BLOCK)
    assert caught.value.offset == BLOCK
    assert states(made) == [MemberState.IN_SYNC, MemberState.IN_SYNC]


def test_a_member_that_refuses_the_rewrite_is_failed() -> None:
    made = array()
    made.mirror.write(0, A)
    made.disks[0].break_reads(DATA, BLOCK)
    made.disks[0].break_writes(DATA, BLOCK)
    assert bytes(made.mirror.read(0, BLOCK)) == A
    assert states(made) == [MemberState.FAULTY, MemberState.IN_SYNC]


def test_a_member_that_cannot_take_the_bitmap_is_failed_before_the_write() -> None:
    made = array()
    made.mirror.write(0, A)
    made.disks[0].break_writes(BITMAP_OFFSET, BLOCK)
    made.mirror.write(8 * MIB, B)
    assert states(made) == [MemberState.FAULTY, MemberState.IN_SYNC]
    assert on_disk(made, 1).roles[:2] == (ROLE_FAULTY, 1)


def lose_unrecorded(made: Array) -> None:
    """Member 1 fails a write, and the commit that would call it faulty fails too."""
    made.disks[1].vanish()
    made.disks[0].plan = "wE"  # the data, then the bitmap's header of the commit
    with pytest.raises(WriteFailed):
        made.mirror.write(0, B)
    assert on_disk(made, 0).roles[:2] == (0, 1)


def test_a_write_that_meets_a_failed_member_waits_for_the_record() -> None:
    made = array()
    made.mirror.write(0, A)
    made.mirror.write(8 * MIB, A)

    def meanwhile(_kind: str, offset: int, _length: int) -> None:
        if offset == DATA + 8 * MIB:
            made.disks[0].hook = None
            lose_unrecorded(made)

    made.disks[0].hook = meanwhile
    made.mirror.write(8 * MIB, C)
    assert on_disk(made, 0).roles[:2] == (0, ROLE_FAULTY)


def test_a_write_that_leaves_a_failed_member_out_waits_for_the_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = array()
    made.mirror.write(0, A)
    made.mirror.write(8 * MIB, A)
    intent = made.mirror._intent
    enter = intent.enter

    def enter_and_pause(offset: int, length: int) -> range:
        chunks = enter(offset, length)
        if offset == 8 * MIB:
            lose_unrecorded(made)
        return chunks

    monkeypatch.setattr(intent, "enter", enter_and_pause)
    made.mirror.write(8 * MIB, C)
    assert on_disk(made, 0).roles[:2] == (0, ROLE_FAULTY)


def test_a_failure_is_told_even_if_it_cannot_be_recorded() -> None:
    made = array()
    made.mirror.write(0, A)
    lose_unrecorded(made)
    assert made.notes.failed == [1]
    made.mirror.write(0, C)
    assert made.notes.failed == [1]


def test_a_failure_met_by_a_commit_is_told_even_if_that_ends_badly() -> None:
    made = array()
    made.disks[1].vanish()
    made.disks[0].plan = "wwwS"  # the headers of bitmap and table, the superblock, and no room for more
    with pytest.raises(SpaceExhausted):
        made.mirror.write(0, A)
    assert made.notes.failed == [1]


def small_sectors() -> Array:
    """An array with sectors of 512 bytes, and a bad block of 4 KiB at 4 KiB of the first member's data.

    A part of the block can only be written if the rest can be read, as with a page cache.
    """
    made = Array([MemoryDevice(SIZE, SECTOR, path=f"disk{number}") for number in range(2)])
    make(made.media)
    made.start()
    made.mirror.write(0, A + B + C)
    made.mirror.flush()

    def page_cache(kind: str, offset: int, length: int) -> None:
        if kind == "w" and offset // BLOCK == DATA // BLOCK + 1 and length < BLOCK:
            raise WriteFailed("a page cannot be read", offset=offset)

    made.disks[0].break_reads(DATA + BLOCK, BLOCK)
    made.disks[0].hook = page_cache
    return made


def test_a_bad_block_is_rewritten_whole_whatever_part_was_asked_for() -> None:
    made = small_sectors()
    assert bytes(made.mirror.read(BLOCK + SECTOR, SECTOR)) == B[:SECTOR]
    assert states(made) == [MemberState.IN_SYNC, MemberState.IN_SYNC]
    assert made.notes.repaired == [(0, BLOCK, BLOCK)]
    assert bytes(made.disks[0].read(DATA, 3 * BLOCK)) == A + B + C


def test_a_bad_sector_is_named_by_what_was_asked_for() -> None:
    made = small_sectors()
    made.disks[1].break_reads(DATA + BLOCK, SECTOR)
    with pytest.raises(MediumError) as caught:
        made.mirror.read(BLOCK + 2 * SECTOR, SECTOR)
    assert caught.value.offset == BLOCK + 2 * SECTOR


def test_a_write_beside_a_repair_is_not_undone_by_it() -> None:
    made = small_sectors()
    writers: list[Thread] = []

    def write_beside(kind: str, _offset: int, length: int) -> None:
        if kind == "w" and length == BLOCK and not writers:  # the repair, with what it has read
            writers.append(Thread(target=made.mirror.write, args=(BLOCK, C[:SECTOR])))
            writers[0].start()
            writers[0].join(0.05)

    made.disks[0].hook = write_beside
    made.mirror.read(BLOCK + SECTOR, SECTOR)
    writers[0].join()
    left, right = (bytes(disk.read(DATA + BLOCK, BLOCK)) for disk in made.disks)
    assert left == right == C[:SECTOR] + B[SECTOR:]


def test_a_member_that_is_gone_is_failed_and_not_written_to() -> None:
    made = array()
    made.mirror.write(0, A)
    made.disks[0].vanish()
    made.disks[0].operations.clear()
    assert bytes(made.mirror.read(0, BLOCK)) == A
    assert states(made) == [MemberState.FAULTY, MemberState.IN_SYNC]
    assert {kind for kind, _, _ in made.disks[0].operations} == {"r"}


def test_an_array_without_any_member_left_is_gone() -> None:
    made = array()
    made.mirror.write(0, A)
    for disk in made.disks:
        disk.vanish()
    with pytest.raises(DeviceGone):
        made.mirror.read(0, BLOCK)


# -- discards -------------------------------------------------------------------------------------


@pytest.mark.parametrize("keeper", [0, 1])
def test_members_that_discard_differently_are_made_to_agree(keeper: int) -> None:
    made = Array(media())
    made.media[keeper] = Keeper(SIZE, BLOCK, path="keeper")
    make(made.media)
    made.start()
    made.mirror.write(0, A + B)
    made.mirror.discard(0, BLOCK)
    seen = bytes(made.mirror.read(0, 2 * BLOCK))
    made.settle()
    assert [bytes(disk.read(DATA, 2 * BLOCK)) for disk in made.disks] == [seen, seen]
    assert bits(made, 0) == set()
    made.disks[0].vanish()
    assert bytes(made.mirror.read(0, 2 * BLOCK)) == seen


def test_a_discard_that_differs_survives_a_crash_as_a_mark() -> None:
    made = Array([*media(1), Keeper(SIZE, BLOCK, path="keeper")])
    make(made.media)
    made.start()
    made.mirror.write(0, A)
    made.mirror.discard(0, BLOCK)
    made.mirror.flush()
    for _ in range(3):
        made.clock.now += 5
        made.mirror._jobs._sweep()  # time passes, and nothing is copied
    assert bits(made, 0) == {0}
    assert not on_disk(made, 0).clean


def test_holes_on_both_members_need_no_copy() -> None:
    made = array()
    made.mirror.write(0, A)
    made.mirror.discard(0, BLOCK)
    for disk in made.disks:
        disk.operations.clear()
    assert made.mirror.step() >= IDLE
    assert [disk.operations for disk in made.disks] == [[], []]
    assert [bytes(disk.read(DATA, BLOCK)) for disk in made.disks] == [bytes(BLOCK)] * 2


# -- the bitmap and the clean mark ----------------------------------------------------------------


def test_bits_are_cleared_after_rest_and_flush_and_the_array_becomes_clean() -> None:
    made = array()
    made.mirror.write(0, A)
    made.clock.now += 5
    made.mirror.step()
    assert bits(made, 0) == {0}
    made.clock.now += 5
    made.mirror.step()
    assert bits(made, 0) == bits(made, 1) == set()
    assert on_disk(made, 0).clean
    assert read_member(made.media[0]).bitmap.header.events_cleared == 2  # type: ignore[union-attr]
    assert not made.mirror.status().dirty


def test_a_chunk_in_use_keeps_its_bit() -> None:
    made = array()
    for _ in range(5):
        made.mirror.write(0, A)
        made.clock.now += 5
        made.mirror.step()
    made.mirror.flush()
    assert bits(made, 0) == {0}
    assert not on_disk(made, 0).clean


def test_no_bit_is_cleared_while_a_member_is_missing() -> None:
    made = array()
    made.disks[1].vanish()
    made.mirror.write(0, A)
    made.settle()
    assert bits(made, 0) == {0}
    assert on_disk(made, 0).clean


def test_a_failed_flush_keeps_the_bits() -> None:
    made = array()
    made.mirror.write(0, A)
    made.clock.now += 5
    made.mirror.step()
    made.disks[1].plan = "E"
    made.clock.now += 5
    made.mirror.step()
    assert bits(made, 0) == {0}
    assert states(made) == [MemberState.IN_SYNC, MemberState.FAULTY]


def test_a_clock_that_goes_back_does_not_stop_the_sweep() -> None:
    made = array()
    made.mirror.write(0, A)
    for _ in range(3):
        made.clock.now -= 100
        made.mirror.step()
    made.mirror.flush()
    assert bits(made, 0) == set()


def test_a_clean_stop_leaves_nothing_to_do() -> None:
    made = array()
    made.mirror.write(0, A)
    made.stop()
    for index in range(2):
        assert on_disk(made, index).clean
        assert bits(made, index) == set()
    before = [on_disk(made, index) for index in range(2)]
    made.start()
    assert made.mirror.step() >= IDLE
    assert [on_disk(made, index) for index in range(2)] == before
    assert bytes(made.mirror.read(0, BLOCK)) == A


def test_a_stop_that_cannot_flush_leaves_the_array_active() -> None:
    made = array(1)
    made.mirror.write(0, A)
    made.disks[0].plan = "E"
    keep = made.media[0].read(0, SIZE)
    with pytest.raises(WriteFailed):
        made.mirror.close()
    with pytest.raises(DeviceGone):
        made.mirror.read(0, BLOCK)
    made.media = media(1)
    made.media[0].write(0, keep)
    assert not on_disk(made, 0).clean


# -- start ----------------------------------------------------------------------------------------


def test_a_degraded_start_says_so_before_anything_is_written() -> None:
    made = array()
    made.stop()
    events = on_disk(made, 1).header.events
    made.start(1)
    assert states(made) == [MemberState.MISSING, MemberState.IN_SYNC]
    assert made.mirror.status().degraded
    assert on_disk(made, 1).roles[:2] == (ROLE_FAULTY, 1)
    assert on_disk(made, 1).header.events == events + 2
    made.crash()
    made.start(1)
    assert on_disk(made, 1).header.events == events + 2  # once is enough


def test_two_halves_that_ran_apart_are_refused_untouched() -> None:
    made = array()
    made.stop()
    for index in range(2):
        made.start(index)
        made.mirror.write(0, A)
        made.stop()
    before = [bytes(medium.read(0, SIZE)) for medium in made.media]
    with pytest.raises(MembersDiverged, match=r"disk1.*disk0|disk0.*disk1"):
        made.start()
    assert [bytes(medium.read(0, SIZE)) for medium in made.media] == before


def test_members_of_other_arrays_are_refused() -> None:
    made = array()
    made.stop()
    stranger = media(1)
    make(stranger, uuid=b"x" * 16)
    with pytest.raises(MemberOfOtherArray, match="78787878"):
        Array([made.media[0], stranger[0]]).start()
    with pytest.raises(MemberOfOtherArray):
        Array([made.media[0], stranger[0]]).start(expected_uuid=None)
    with pytest.raises(MemberOfOtherArray):
        made.start(expected_uuid=b"x" * 16)


def test_a_member_that_was_never_filled_cannot_start_alone() -> None:
    made = array()
    made.stop()
    filling = on_disk(made, 1).change(feature_map=Feature.BITMAP_OFFSET | Feature.RECOVERY_OFFSET)
    made.media[1].write(4096, filling.build())
    with pytest.raises(NotAMember, match="never filled"):
        made.start(1)


def test_a_start_that_cannot_be_written_down_is_refused() -> None:
    made = array()
    made.stop()
    disk = FaultyDevice(made.media[0])
    disk.break_writes(4096, 4096)
    with pytest.raises(MemberUnusable, match="cannot be written to"):
        Mirror.assemble([read_member(disk)], expected_uuid=UUID, clock=made.clock, observer=made.notes)


def test_data_that_do_not_fit_the_blocks_of_a_disk_are_refused() -> None:
    made = array()
    made.stop()
    made.media[0].write(4096, on_disk(made, 0).change(size=8 * 1001 + 1).build())
    with pytest.raises(ArrayUnsupported, match="blocks of 4096 bytes"):
        read_member(made.media[0])


def test_an_unreadable_member_is_unusable() -> None:
    disk = FaultyDevice(media(1)[0], "E")
    with pytest.raises(MemberUnusable, match="cannot be read"):
        read_member(disk)


def test_status_tells_the_facts() -> None:
    made = array()
    made.mirror.write(0, A)
    status = made.mirror.status()
    assert (status.uuid, status.name, status.size) == (UUID, "host:backup", made.mirror.size)
    assert (status.degraded, status.dirty, status.marked_chunks) == (False, True, 1)
    assert [member.path for member in status.members] == ["disk0", "disk1"]
    assert on_disk(made, 0).header.utime == stamp(START)


def test_three_members_and_two_failures() -> None:
    made = array(3)
    made.mirror.write(0, A)
    made.disks[0].vanish()
    made.disks[2].vanish()
    made.mirror.write(0, B)
    assert states(made) == [MemberState.FAULTY, MemberState.IN_SYNC, MemberState.FAULTY]
    assert sorted(made.notes.failed) == [0, 2]
    assert bytes(made.mirror.read(0, BLOCK)) == B
