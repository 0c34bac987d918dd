"""Scrub: what it finds on the media, what it puts right, and what it leaves alone."""

from collections.abc import Callable
from threading import Thread

import pytest

from tests.unit.block.arrays import BLOCK, Array, Keeper, array, make, media
from twinlock.block.checked.device import TableState
from twinlock.block.mirror.member import Member, MemberState
from twinlock.block.mirror.mirror import IDLE
from twinlock.block.mirror.scrub_status import ScrubState, ScrubStatus
from twinlock.block.section import Section
from twinlock.errors import MediumError, NotPossibleNow
from twinlock.native.checksum import UNKNOWN
from twinlock.units import MIB

DATA = 32 * BLOCK


def filled(count: int = 2, *, checksums: bool = True, at: int = 0) -> Array:
    """An array with ``DATA`` bytes that differ from block to block; without checksums if told so."""
    made = array(count)
    if not checksums:
        for member in members(made):
            assert member.checked is not None
            member.data, member.checked = member.checked.lower, None
    made.mirror.write(at, pattern())
    made.mirror.flush()
    made.settle()
    return made


def pattern() -> bytes:
    return b"".join(number.to_bytes(4, "big") * (BLOCK // 4) for number in range(1, DATA // BLOCK + 1))


def members(made: Array) -> list[Member]:
    return made.mirror._record.members


def raw(made: Array, index: int) -> Section:
    """The array's data on the medium of a member, below checksums and faults."""
    member = members(made)[index]
    return Section(made.media[index], member.superblock.header.data_offset * 512, made.mirror.size)


def rot(made: Array, index: int, *blocks: int) -> None:
    for block in blocks:
        raw(made, index).write(block * BLOCK, bytes([0xEE, block]) * (BLOCK // 2))


def scrub(made: Array, *, repair: bool = False) -> ScrubStatus:
    made.mirror.start_scrub(repair=repair)
    while made.mirror.scrub_status.state is ScrubState.RUNNING:
        made.clock.now += 0.1
        made.mirror.step()
    return made.mirror.scrub_status


def content(made: Array, index: int) -> bytes:
    return bytes(raw(made, index).read(0, DATA))


@pytest.mark.parametrize("checksums", [True, False])
def test_a_sound_array_is_checked_to_its_end(checksums: bool) -> None:
    made = filled(checksums=checksums)
    found = scrub(made)
    assert found.state is ScrubState.FINISHED
    assert not found.findings
    assert found.done == found.total == made.mirror.size
    assert DATA <= found.checked < made.mirror.size, "holes cost nothing"
    assert found.ended is not None
    assert found.started is not None
    assert found.ended > found.started
    assert made.notes.scrubs == [found]


@pytest.mark.parametrize("repair", [True, False])
def test_wrong_blocks_of_both_members_are_put_right_also_in_a_check(repair: bool) -> None:
    made = filled()
    rot(made, 0, 1, 2, 30)
    rot(made, 1, 3, 31)
    found = scrub(made, repair=repair)
    assert (found.wrong, found.repaired, found.mismatches, found.lost) == (5, 5, 0, 0)
    assert content(made, 0) == content(made, 1) == pattern()
    assert [member.wrong_checksums for member in members(made)] == [3, 2]
    assert [member.corrected_reads for member in members(made)] == [3, 2]
    assert sorted(made.notes.wrong) == [(0, b * BLOCK, BLOCK) for b in (1, 2, 30)] + [
        (1, b * BLOCK, BLOCK) for b in (3, 31)
    ]
    assert sorted(made.notes.repaired) == sorted(made.notes.wrong)
    assert not scrub(made).findings


def test_unreadable_blocks_are_rewritten_with_and_without_checksums() -> None:
    for checksums in (True, False):
        made = filled(checksums=checksums)
        start = members(made)[1].superblock.header.data_offset * 512
        made.disks[1].break_reads(start + 5 * BLOCK, 2 * BLOCK)
        found = scrub(made)
        assert (found.unreadable, found.repaired, found.wrong, found.lost) == (2, 2, 0, 0)
        assert bytes(made.disks[1].read(start, DATA)) == pattern()


def test_without_checksums_a_difference_is_counted_and_with_repair_the_preferred_member_counts() -> None:
    made = filled(checksums=False)
    rot(made, 1, 4, 5, 9)
    found = scrub(made)
    assert (found.mismatches, found.repaired, found.wrong) == (3, 0, 0)
    assert content(made, 1) != pattern()
    found = scrub(made, repair=True)
    assert (found.mismatches, found.repaired) == (3, 3)
    assert content(made, 0) == content(made, 1) == pattern()
    assert not scrub(made).findings


def test_what_no_member_can_give_is_lost_and_listed_and_the_scrub_goes_on() -> None:
    made = filled()
    rot(made, 0, 3, 4, 8)
    rot(made, 1, 3, 4, 8, 20)
    found = scrub(made)
    assert (found.lost, found.wrong, found.repaired) == (3, 7, 1)
    assert found.lost_ranges == ((3 * BLOCK, 2 * BLOCK), (8 * BLOCK, BLOCK))
    assert made.notes.lost == [(block * BLOCK, BLOCK) for block in (3, 4, 8)]
    assert found.state is ScrubState.FINISHED


def test_blocks_that_were_never_written_or_discarded_are_nobodys_business() -> None:
    made = Array([Keeper(medium.size, BLOCK, path=medium.path) for medium in media()])
    make(made.media)
    made.start()
    made.mirror.write(0, pattern())
    made.mirror.discard(4 * BLOCK, BLOCK)
    made.settle()
    rot(made, 0, 4, 40)
    rot(made, 1, 41)
    found = scrub(made)
    assert not found.findings
    assert not made.notes.wrong


def test_what_differs_and_is_known_to_nobody_is_told_though_it_has_no_checksum() -> None:
    """Not discarded, but not known either: members differed when their checksums were made, say."""
    made = filled()
    for member in members(made):
        assert member.checked is not None
        member.checked.forget(7 * BLOCK, BLOCK, UNKNOWN)
    rot(made, 1, 7)
    assert scrub(made).mismatches == 1
    assert scrub(made, repair=True).repaired == 1
    assert content(made, 0) == content(made, 1) == pattern()
    rot(made, 1, 7)
    assert (scrub(made).wrong, content(made, 1)) == (1, pattern()), "and from then on there is a checksum"


def test_what_no_checksum_could_decide_when_they_were_made_is_told_by_every_scrub() -> None:
    made = filled()
    made.stop()
    for medium, member in zip(made.media, members(made), strict=True):
        medium.write(member.superblock.header.data_offset * 512 - BLOCK, bytes(BLOCK))
    rot(made, 1, 7)
    made.start()
    made.settle()
    for _ in range(2):
        assert scrub(made).mismatches == 1
    made.stop()
    made.start()
    assert scrub(made).mismatches == 1


def test_two_copies_that_are_each_what_its_own_checksum_says_are_told_of_and_left_alone() -> None:
    made = filled()
    rot(made, 1, 7)
    checked = members(made)[1].checked
    assert checked is not None
    checked.adopt(7 * BLOCK, raw(made, 1).read(7 * BLOCK, BLOCK))
    before = content(made, 0), content(made, 1)
    found = scrub(made)
    assert (found.mismatches, found.wrong, found.repaired) == (1, 0, 0)
    assert (content(made, 0), content(made, 1)) == before
    assert scrub(made, repair=True).repaired == 1
    assert content(made, 0) == content(made, 1) == pattern()


def test_what_was_discarded_gets_no_checksum_though_members_agree_on_it() -> None:
    """They may read as something else on the next day."""
    made = Array([Keeper(medium.size, BLOCK, path=medium.path) for medium in media()])
    make(made.media)
    made.start()
    made.mirror.write(0, pattern())
    made.mirror.discard(4 * BLOCK, BLOCK)
    made.settle()
    checked = members(made)[0].checked
    assert checked is not None
    checked.forget(5 * BLOCK, BLOCK, UNKNOWN)  # this one is looked at, and with it its neighbours
    assert not scrub(made).findings
    assert checked.known(4 * BLOCK, 2 * BLOCK) == [False, True]
    rot(made, 1, 4)
    assert not scrub(made).findings


def test_pages_of_checksums_that_are_lost_on_both_members_hide_no_difference() -> None:
    made = filled()
    made.stop()
    made.start()
    for number in (0, 1):
        made.disks[number].break_reads(first_page(made, number), BLOCK)
    rot(made, 1, 7)
    found = scrub(made)
    assert (found.mismatches, found.wrong) == (1, 0)


def test_a_copy_without_a_checksum_that_another_members_contradicts_is_wrong() -> None:
    made = filled()
    checked = members(made)[0].checked
    assert checked is not None
    checked.forget(7 * BLOCK, BLOCK)
    rot(made, 0, 7)
    found = scrub(made)
    assert (found.wrong, found.repaired, found.mismatches) == (1, 1, 0)
    assert content(made, 0) == pattern()


@pytest.mark.parametrize("lacking", [(0,), (1,), (0, 1)])
def test_what_members_agree_on_gets_the_checksum_that_is_missing(lacking: tuple[int, ...]) -> None:
    """It was written while a table had no room, say.  Rot that comes later is not delivered."""
    made = filled()
    for index in lacking:
        checked = members(made)[index].checked
        assert checked is not None
        checked.forget(7 * BLOCK, BLOCK, UNKNOWN)
        checked.flush()
    assert not scrub(made).findings
    made.crash()
    made.start()
    rot(made, lacking[-1], 7)
    made.mirror.fail_member(f"disk{1 - lacking[-1]}")
    with pytest.raises(MediumError):
        made.mirror.read(7 * BLOCK, BLOCK)


def test_a_copy_that_is_alone_is_not_given_a_checksum() -> None:
    """It may be the wrong one of two that differed: its checksum would make rot look like truth."""
    made = filled()
    for member in members(made):
        assert member.checked is not None
        member.checked.forget(7 * BLOCK, BLOCK, UNKNOWN)
    made.mirror.fail_member("disk1")
    assert not scrub(made).findings
    assert members(made)[0].checked.known(6 * BLOCK, 2 * BLOCK) == [True, False]  # type: ignore[union-attr]


@pytest.mark.parametrize("index", [0, 1])
def test_a_hole_on_one_member_alone_is_not_passed_over(index: int) -> None:
    made = filled(checksums=False)
    raw(made, index).discard(0, DATA)
    assert scrub(made).mismatches == DATA // BLOCK


def test_where_a_file_system_does_not_say_what_is_a_hole_all_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    made = filled(checksums=False)
    rot(made, 1, 3)

    def fails(offset: int, length: int) -> tuple[int, bool]:
        raise MediumError("no map", offset=offset)

    monkeypatch.setattr(made.disks[0], "allocation", fails)
    found = scrub(made)
    assert (found.mismatches, found.checked) == (1, made.mirror.size)


def test_data_that_became_a_hole_on_both_members_are_not_passed_over() -> None:
    made = filled()
    for index in (0, 1):
        raw(made, index).discard(0, DATA)
    assert scrub(made).lost == DATA // BLOCK


@pytest.mark.parametrize("cached", [False, True])
def test_a_member_that_does_not_keep_what_it_is_given_is_out(cached: bool) -> None:
    """Also if a cache in front of the medium seems to have it."""
    made = filled()
    rot(made, 1, 6)
    disk = made.disks[1]
    write, read = disk.write, disk.read
    start = members(made)[1].superblock.header.data_offset * 512
    cache: dict[tuple[int, int], bytes] = {}

    def deaf(offset: int, data: bytes) -> None:
        if offset < start:
            write(offset, data)
        elif cached:
            cache[offset, len(data)] = bytes(data)

    disk.write = deaf  # type: ignore[method-assign, assignment]
    disk.read = lambda *place: cache.get(place) or read(*place)  # type: ignore[method-assign]
    disk.read_medium = read  # type: ignore[method-assign]
    found = scrub(made)
    assert (found.wrong, found.repaired) == (1, 0)
    assert made.notes.failed == [1]
    assert found.state is ScrubState.FINISHED


def first_page(made: Array, index: int) -> int:
    """Where the first page of the checksums begins, in bytes of the member."""
    checked = members(made)[index].checked
    assert checked is not None
    return checked.place.entries_offset


def test_a_rotten_page_of_checksums_behind_a_clean_one_in_memory_is_found() -> None:
    made = filled()
    place = first_page(made, 1)
    before = bytes(made.media[1].read(place, BLOCK))
    made.media[1].write(place, b"\xee" * BLOCK)
    found = scrub(made)
    assert (found.records, found.wrong, found.lost) == (1, 0, 0)
    assert found.findings
    assert made.notes.records == [(1, "checksums")]
    assert bytes(made.media[1].read(place, BLOCK)) == before
    assert not scrub(made).findings


@pytest.mark.parametrize("index", [0, 1])
def test_a_rotten_header_of_checksums_is_written_anew(index: int) -> None:
    """Unnoticed it would cost the whole table at the next start."""
    made = filled()
    checked = members(made)[index].checked
    assert checked is not None
    place = checked.place.header_offset
    before = bytes(made.media[index].read(place, BLOCK))
    made.media[index].write(place, before[:100] + bytes([before[100] ^ 8]) + before[101:])
    found = scrub(made)
    assert (found.records, made.notes.records) == (1, [(index, "checksums")])
    assert bytes(made.media[index].read(place, BLOCK)) == before
    assert not scrub(made).findings
    made.stop()
    made.start()
    assert [member.checked and member.checked.state for member in members(made)] == [TableState.ON] * 2


@pytest.mark.parametrize("byte", [0, 26, 41, 99, 105, 187])
def test_a_header_that_rots_while_nobody_looks_costs_the_table_and_no_data(byte: int) -> None:
    made = filled()
    made.stop()
    place = members(made)[1].superblock.header.data_offset * 512 - BLOCK
    page = bytearray(made.media[1].read(place, BLOCK))
    page[byte] ^= 1
    made.media[1].write(place, page)
    rot(made, 1, 5)
    made.start()
    assert [member.checked and member.checked.state for member in members(made)] == [
        TableState.ON,
        TableState.REBUILDING,
    ]
    assert bytes(made.mirror.read(0, DATA)) == pattern()
    made.settle()
    assert content(made, 1) == pattern(), "the other's checksums are good for it"
    assert not scrub(made).findings
    assert made.notes.lost == []


@pytest.mark.parametrize("what", ["superblock", "bitmap"])
@pytest.mark.parametrize("index", [0, 1])
def test_a_rotten_superblock_or_bitmap_is_written_anew(index: int, what: str) -> None:
    made = filled()
    member = members(made)[index]
    place = member.metadata.offset if what == "superblock" else member.bitmap_start
    before = bytes(made.media[index].read(place, BLOCK))
    made.media[index].write(place, b"\xee" * BLOCK)
    found = scrub(made)
    assert (found.records, made.notes.records) == (1, [(index, what)])
    assert bytes(made.media[index].read(place, BLOCK)) == before
    assert not scrub(made).findings


def test_with_a_low_maximum_no_piece_is_begun_before_the_last_is_paid_for() -> None:
    made = filled()
    made.mirror.write(0, bytes(MIB) + pattern())
    made.mirror.limit_rate(None, 100_000)
    made.mirror.start_scrub()
    for _ in range(10):
        wait = made.mirror.step()
        made.clock.now += wait / 2
    assert made.mirror.scrub_status.checked <= MIB, "ten steps, and less than ten seconds"


def test_three_members_are_put_right_from_whichever_is() -> None:
    made = filled(3)
    rot(made, 0, 1, 5)
    rot(made, 1, 2, 5)
    rot(made, 2, 3)
    found = scrub(made)
    assert (found.wrong, found.repaired, found.lost) == (5, 5, 0)
    assert {content(made, index) for index in range(3)} == {pattern()}


@pytest.mark.parametrize("index", [0, 1])
def test_a_member_that_vanishes_in_the_middle_is_out_and_the_scrub_goes_on(index: int) -> None:
    made = filled(at=10 * MIB)
    made.mirror.write(0, pattern())
    made.mirror.start_scrub()
    made.mirror.step()
    made.disks[index].vanish()
    while made.mirror.scrub_status.state is ScrubState.RUNNING:
        made.mirror.step()
    assert made.notes.failed == [index]
    assert made.mirror.scrub_status.state is ScrubState.FINISHED
    assert members(made)[1 - index].state is MemberState.IN_SYNC


def test_a_member_that_vanishes_while_it_is_read_is_gone_and_not_worn_out() -> None:
    made = filled()
    disk, start = made.disks[1], raw(made, 1).start

    def hook(kind: str, offset: int, _length: int) -> None:
        if kind == "r" and offset >= start:
            disk.vanish()

    disk.hook = hook
    found = scrub(made)
    assert (found.state, found.unreadable, found.wrong) == (ScrubState.FINISHED, 0, 0)
    assert made.notes.failed == [1]


def test_a_scrub_of_which_no_member_is_left_has_failed_and_says_why() -> None:
    made = filled()
    made.mirror.fail_member("disk1")
    made.mirror.start_scrub()
    made.disks[0].vanish()
    while made.mirror.scrub_status.state is ScrubState.RUNNING:
        made.mirror.step()
    found = made.mirror.scrub_status
    assert found.state is ScrubState.FAILED
    assert found.reason
    assert found.reason in found.sentence
    assert made.notes.scrubs == [found]


def test_a_write_waits_for_the_piece_that_is_compared() -> None:
    """Else it would be seen on one member and not on the other: a difference that is none."""
    made = filled(checksums=False)
    place = raw(made, 1).start + 3 * BLOCK
    writer = Thread(target=made.mirror.write, args=(3 * BLOCK, b"n" * BLOCK))

    def hook(kind: str, offset: int, length: int) -> None:
        if kind == "r" and offset <= place < offset + length and not writer.ident:
            writer.start()
            writer.join(0.1)
            assert writer.is_alive()

    made.disks[1].hook = hook
    found = scrub(made)
    writer.join(10)
    assert writer.ident
    assert not found.findings
    assert content(made, 0) == content(made, 1)


def test_a_degraded_array_is_scrubbed_by_its_checksums_alone() -> None:
    made = Array(media())
    make(made.media)
    made.start()
    made.mirror.write(0, pattern())
    made.settle()
    made.stop()
    made.start(0)
    rot(made, 0, 2)
    found = scrub(made)
    assert (found.wrong, found.lost, found.repaired) == (1, 1, 0)


def test_what_the_resync_is_due_in_is_left_to_it() -> None:
    made = filled()
    made.mirror._intent.need([0])
    rot(made, 0, 2)
    made.mirror.start_scrub()
    made.mirror._scrub.step()
    assert made.mirror.scrub_status.skipped == MIB
    assert not made.mirror.scrub_status.findings


def test_a_repair_marks_its_chunk_before_it_writes() -> None:
    made = filled(checksums=False)
    made.settle()
    assert made.mirror.status().marked_chunks == 0
    rot(made, 1, 3)
    marked: list[int] = []

    def hook(kind: str, offset: int, _length: int) -> None:
        if kind == "w" and offset == members(made)[1].superblock.header.data_offset * 512 + 3 * BLOCK:
            marked.append(made.mirror.status().marked_chunks)

    made.disks[1].hook = hook
    scrub(made, repair=True)
    assert marked == [1]
    made.settle()
    assert made.mirror.status().marked_chunks == 0, "else the array would never be clean again"


def test_one_at_a_time_and_it_can_be_cancelled() -> None:
    made = filled()
    assert made.mirror.scrub_status == ScrubStatus()
    made.mirror.cancel_scrub()
    made.mirror.start_scrub()
    with pytest.raises(NotPossibleNow):
        made.mirror.start_scrub()
    made.mirror.cancel_scrub()
    assert made.mirror.scrub_status.state is ScrubState.CANCELLED
    assert made.mirror.step() >= IDLE
    assert made.notes.scrubs[-1].state is ScrubState.CANCELLED
    assert scrub(made).state is ScrubState.FINISHED


def test_nothing_of_it_outlives_the_array() -> None:
    made = filled()
    made.mirror.start_scrub()
    made.stop()
    made.start()
    assert made.mirror.scrub_status == ScrubStatus()


def test_the_medium_is_read_and_not_what_is_remembered_of_it() -> None:
    made = filled()
    asked: list[Callable[[int, int], object]] = []
    for member in members(made):
        assert member.checked is not None
        lower = member.checked.lower
        real = lower.read_medium
        lower.read_medium = lambda o, n, real=real: asked.append(real) or real(o, n)  # type: ignore
        lower.read = None  # type: ignore
    scrub(made)
    assert len(asked) >= 2
