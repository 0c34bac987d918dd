"""Who may take part, as what, and what is written to it first."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.unit.block.arrays import BLOCK, SIZE, UUID, Array, array, make
from tests.unit.block.mirror.changes.test_grow import Files
from tests.unit.block.mirror.changes.test_members import (
    CHUNK,
    DATA,
    FAULTY,
    IN_SYNC,
    MISSING,
    REBUILDING,
    SPARE,
    A,
    B,
    C,
    add,
    blank,
    block,
    states,
)
from twinlock.block.faulty import FaultyDevice
from twinlock.block.file import FileDevice
from twinlock.block.memory import MemoryDevice
from twinlock.block.mirror.bitmap import STALE
from twinlock.block.mirror.changes.blank import prepare
from twinlock.block.mirror.layout import member_layout
from twinlock.block.mirror.member import read_member
from twinlock.block.mirror.superblock import ROLE_FAULTY, ROLE_SPARE
from twinlock.errors import CannotGrow, MemberTooSmall, MemberUnusable, NotAMember, NotPossibleNow
from twinlock.units import MIB

TABLE = member_layout(SIZE).table_offset


def copy_of(medium: MemoryDevice, path: str) -> MemoryDevice:
    copy = MemoryDevice(medium.size, medium.block_size, path=path)
    copy._blocks = dict(medium._blocks or {})
    return copy


def test_a_copy_of_a_member_in_use_is_refused() -> None:
    made = array()
    made.mirror.remove_member("disk1")
    with pytest.raises(NotPossibleNow, match="copy of disk0"):
        add(made, copy_of(made.media[0], "copy"))
    assert states(made) == [IN_SYNC, MISSING]


def test_a_copy_of_a_member_that_takes_part_is_no_second_copy() -> None:
    made = array()
    made.stop()
    made.media.append(copy_of(made.media[1], "copy"))
    made.start()
    assert states(made) == [IN_SYNC, IN_SYNC, SPARE]
    made.mirror.fail_member("disk0")
    made.settle()
    assert made.mirror.status().degraded


def test_the_bitmap_is_not_believed_of_who_was_away_longer_than_it_remembers() -> None:
    made = array()
    made.mirror.fail_member("disk1")
    made.mirror.write(2 * CHUNK, B)
    add(made, blank())
    made.settle()  # all are there: the bits are cleared
    assert made.mirror.status().marked_chunks == 0
    made.mirror.remove_member("disk0")
    add(made, made.media[1])
    made.settle()
    assert block(made.media[1], 2 * CHUNK) == B


def test_a_new_member_gets_also_what_was_written_long_ago() -> None:
    made = array()
    made.mirror.write(2 * CHUNK, B)
    made.settle()
    assert made.mirror.status().marked_chunks == 0
    new = blank()
    made.media.append(new)
    made.disks.append(FaultyDevice(new))
    made.mirror.replace_member("disk0", made.disks[2])
    made.settle()
    assert block(new, 2 * CHUNK) == B


def test_who_was_away_gets_its_own_place_where_another_is_free_too() -> None:
    """A place says which of two devices with one number is meant, as long as nobody moves."""
    made = array(3)
    made.mirror.fail_member("disk1")
    made.mirror.fail_member("disk2")
    add(made, made.media[2])
    assert {each.path: each.role for each in made.mirror.status().members if each.state is REBUILDING} == {
        "disk2": 2
    }


def test_what_was_in_sync_once_and_waits_now_is_not_served_alone() -> None:
    made = array()
    made.mirror.write(0, A)
    made.mirror.fail_member("disk1")
    add(made, blank())
    made.settle()
    made.mirror.write(0, B)
    add(made, made.media[1])
    assert states(made) == [IN_SYNC, IN_SYNC, SPARE]
    waiting = read_member(made.media[1])
    assert waiting.superblock.role == ROLE_SPARE
    assert waiting.superblock.header.events == made.mirror.status().events
    assert waiting.bitmap is not None
    assert waiting.bitmap.header.state & STALE
    assert waiting.bitmap.header.events < waiting.superblock.header.events
    made.stop()
    with pytest.raises(NotAMember):
        made.start(1)


@pytest.mark.parametrize("places", [2, 3])
def test_two_devices_of_one_number_get_two(places: int) -> None:
    """The kernel gives a number that is free to the next disk; the one that had it may come back."""
    made = array()
    made.mirror.fail_member("disk1")
    new = blank()
    add(made, new)
    made.settle()
    old = read_member(made.media[1])
    roles = [*old.superblock.roles, ROLE_SPARE]
    roles[1], roles[2] = ROLE_SPARE, 1
    old.store_superblock(old.superblock.change(roles=tuple(roles[:128]), dev_number=2))
    made.mirror.set_places(places)
    add(made, made.media[1])
    made.settle()
    numbers = [each.dev_number for each in made.mirror.status().members]
    assert len(set(numbers)) == len(numbers) == 3
    made.stop()
    made.start()
    assert states(made) == [IN_SYNC, IN_SYNC, IN_SYNC if places == 3 else SPARE]


def test_a_failure_by_request_is_on_the_disks_when_the_command_returns() -> None:
    made = array()
    made.mirror.write(0, A)
    made.mirror.fail_member("disk1")
    assert read_member(made.media[0]).superblock.roles[1] == ROLE_FAULTY
    made.crash()
    made.start()
    assert states(made)[0] is IN_SYNC
    assert states(made)[1] is REBUILDING


def test_no_spare_takes_the_place_that_a_replacement_is_filled_for() -> None:
    made = array()
    add(made, blank("spare"))
    made.mirror.replace_member("disk0", FaultyDevice(blank("new")))
    made.disks[0].vanish()
    made.mirror.write(CHUNK, B)
    made.mirror.step()
    assert {each.path: each.state for each in made.mirror.status().members}["spare"] is SPARE
    made.settle()
    assert [(each.path, each.state) for each in made.mirror.status().members][:2] == [
        ("new", IN_SYNC),
        ("disk1", IN_SYNC),
    ]


def test_a_replacement_is_of_members_with_a_place() -> None:
    made = array()
    add(made, blank("spare"))
    with pytest.raises(NotPossibleNow, match="no place"):
        made.mirror.replace_member("spare", FaultyDevice(blank("new")))
    with pytest.raises(NotPossibleNow, match="not being filled"):
        made.mirror.resume_replacement("disk0", "disk0")
    with pytest.raises(NotPossibleNow, match="not being filled"):
        made.mirror.resume_replacement("disk0", "spare")


def test_who_was_replaced_is_failed_to_the_others() -> None:
    """Else it would be in sync again at the next start, whatever was written since."""
    made = array()
    new = blank()
    made.media.append(new)
    made.disks.append(FaultyDevice(new))
    made.mirror.replace_member("disk0", made.disks[2])
    made.settle()
    assert {read_member(each).superblock.roles[0] for each in (made.media[1], new)} == {ROLE_FAULTY}
    assert {each.dev_number for each in made.mirror.status().members} == {1, 2}


# -- what is written to a new device ----------------------------------------------------------------


def dirty(path: str = "new") -> MemoryDevice:
    """A device with something everywhere where twinlock will have something, or somebody else had."""
    medium = blank(path)
    for offset in (*range(0, DATA, BLOCK), SIZE - BLOCK):
        medium.write(offset, C)
    return medium


def test_what_is_left_of_others_is_gone_and_the_checksums_say_nothing() -> None:
    made = array()
    made.mirror.fail_member("disk1")
    new = dirty()
    disk = FaultyDevice(new)
    made.mirror.add_member(disk)
    disk.power_cut(lambda _index: False)  # what was not flushed before the superblock is lost
    assert not any(bytes(new.read(0, BLOCK)))
    assert not any(bytes(new.read(SIZE - BLOCK, BLOCK)))
    assert not any(bytes(new.read(TABLE, BLOCK)))
    assert read_member(new).superblock.role == 1


def test_checksums_count_as_soon_as_the_copies_are_there() -> None:
    made = array()
    made.mirror.write(0, A)
    made.mirror.fail_member("disk1")
    new = dirty()
    add(made, new)
    made.settle()
    new.write(DATA, C)  # rot
    made.mirror.remove_member("disk0")
    assert made.mirror.status().members[1].checksums == "on"
    with pytest.raises(Exception, match="no member can read"):
        made.mirror.read(0, BLOCK)


def test_members_have_uuids_of_their_own_and_no_log_of_bad_blocks() -> None:
    made = array()
    record = made.mirror._record
    record.common = record.common.change(bblog_shift=3, bblog_size=8, bblog_offset=80)
    found = [prepare(record, FaultyDevice(blank(f"new{n}")), 5 + n, 1.0).superblock.header for n in range(2)]
    uuids = {each.device_uuid for each in found} | {m.superblock.header.device_uuid for m in record.members}
    assert len(uuids) == 4
    assert {(each.bblog_size, each.bblog_offset) for each in found} == {(0, 0)}


def test_larger_blocks_than_those_of_the_array() -> None:
    small = [MemoryDevice(SIZE, 512, path=f"disk{number}") for number in range(2)]
    make(small, uuid=UUID)
    made = Array(small)
    made.start()
    made.mirror.fail_member("disk1")
    new = MemoryDevice(SIZE, BLOCK, path="new")
    with pytest.raises(MemberUnusable, match="its blocks are 4096"):
        add(made, new)
    assert new._blocks == {}


# -- an array that has grown ----------------------------------------------------------------------


@contextmanager
def grown_without_one(folder: Path) -> Iterator[Files]:
    """The left one went on alone, and is twice as large now."""
    files = Files(folder)
    mirror = files.start()
    mirror.write(0, A)
    mirror.fail_member(str(files.paths[1]))
    mirror.set_places(1)
    with files.paths[0].open("r+b") as file:
        file.truncate(2 * SIZE)
    mirror.grow()
    mirror.write(SIZE, B)
    mirror.set_places(2)
    mirror.close()
    yield files


def test_who_was_away_while_the_array_grew_has_to_have_grown_as_well(tmp_path: Path) -> None:
    with grown_without_one(tmp_path) as files:
        mirror = files.start(0)
        old = FileDevice.open(files.paths[1])
        with pytest.raises(MemberTooSmall):
            mirror.add_member(old)
        old.close()
        with files.paths[1].open("r+b") as file:
            file.truncate(2 * SIZE)
        mirror.add_member(FileDevice.open(files.paths[1]))
        files.settle(mirror)
        assert [each.state for each in mirror.status().members] == [IN_SYNC, IN_SYNC]
        mirror.remove_member(str(files.paths[0]))
        assert [bytes(mirror.read(offset, BLOCK)) for offset in (0, SIZE)] == [A, B]
        mirror.close()


def test_who_is_too_small_by_now_fills_no_place(tmp_path: Path) -> None:
    with grown_without_one(tmp_path) as files:
        mirror = files.start()
        files.settle(mirror)
        assert [each.state for each in mirror.status().members] == [IN_SYNC, MISSING, SPARE]
        assert bytes(mirror.read(SIZE, BLOCK)) == B
        mirror.close()


def test_a_spare_has_to_be_large_enough_too_and_has_a_bitmap_of_the_new_size(tmp_path: Path) -> None:
    files = Files(tmp_path)
    mirror = files.start()
    spare = tmp_path / "spare"
    mirror.add_member(FileDevice.open(spare, size=SIZE))
    files.enlarge(2 * SIZE)
    with pytest.raises(CannotGrow, match="spare has room"):
        mirror.grow(mirror.size + 4 * MIB)
    with spare.open("r+b") as file:
        file.truncate(2 * SIZE)
    mirror.grow()
    found = read_member(FileDevice.open(spare, writable=False, exclusive=False))
    assert found.bitmap is not None
    assert found.bitmap.header.sync_size * 512 == mirror.size
    assert found.bitmap.header.state & STALE
    mirror.fail_member(str(files.paths[0]))
    mirror.write(SIZE, B)
    files.settle(mirror)
    mirror.fail_member(str(files.paths[1]))
    assert bytes(mirror.read(SIZE, BLOCK)) == B
    mirror.close()


def test_what_is_needed_for_a_new_file_is_allocated(tmp_path: Path) -> None:
    """A full file system is met when the member is added, not in the middle of a commit."""
    files = Files(tmp_path)
    mirror = files.start()
    mirror.fail_member(str(files.paths[1]))
    new = tmp_path / "new"
    mirror.add_member(FileDevice.open(new, size=SIZE))
    assert new.stat().st_blocks * 512 >= member_layout(SIZE).table_end
    mirror.close()


def test_what_failed_by_itself_can_be_opened_again(tmp_path: Path) -> None:
    files = Files(tmp_path)
    mirror = files.start()
    size = files.paths[1].stat().st_size
    with files.paths[1].open("r+b") as file:
        file.truncate(size // 2)
    mirror.write(0, A)
    assert mirror.status().members[1].state is FAULTY
    files.settle(mirror)
    with files.paths[1].open("r+b") as file:
        file.truncate(size)
    mirror.add_member(FileDevice.open(files.paths[1]))  # it is not held any more
    mirror.close()


def test_a_write_on_its_way_reaches_who_joins_meanwhile() -> None:
    """It knows only the members before the change: it ends first, and its chunk is copied."""
    made = array()
    made.mirror.fail_member("disk1")
    began, go_on = Event(), Event()

    def slow(kind: str, offset: int, _length: int) -> None:
        if kind == "w" and offset == DATA:
            began.set()
            assert go_on.wait(30)

    made.disks[0].hook = slow
    writer = Thread(target=lambda: made.mirror.write(0, B))
    writer.start()
    assert began.wait(30)
    new = blank()
    change = Thread(target=lambda: add(made, new))
    change.start()
    change.join(0.2)
    joined = not change.is_alive()
    go_on.set()
    writer.join()
    change.join()
    made.settle()
    assert block(new) == B
    assert not joined
