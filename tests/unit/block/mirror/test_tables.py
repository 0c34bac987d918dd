"""Where a member's checksums lie, who holds them, and whom they are bound to."""

from pathlib import Path

import pytest

from tests.unit.block.arrays import BLOCK, SIZE, UUID, Clock, Notes, array
from tests.unit.block.formats import make_array
from twinlock.block.checked.device import CheckedDevice, TableState
from twinlock.block.faulty import FaultyDevice
from twinlock.block.file import FileDevice
from twinlock.block.memory import MemoryDevice
from twinlock.block.mirror.assembly import judge
from twinlock.block.mirror.layout import BITMAP_OFFSET, member_layout
from twinlock.block.mirror.member import Member, MemberState, read_member
from twinlock.block.mirror.mirror import IDLE, Mirror
from twinlock.block.mirror.stack import gap_start, open_data
from twinlock.block.mirror.superblock import Feature
from twinlock.errors import SpaceExhausted
from twinlock.units import MIB, SECTOR

A, B, C = (bytes([letter]) * BLOCK for letter in b"abc")
SMALL = 16 * MIB


def assemble(devices: list[FileDevice], tables: Path) -> Mirror:
    members = [read_member(device) for device in devices]
    return Mirror.assemble(members, expected_uuid=UUID, clock=Clock(), observer=Notes(), tables=tables)


def files(folder: Path) -> list[FileDevice]:
    return [FileDevice.open(folder / name, size=SMALL) for name in ("left", "right")]


def settle(mirror: Mirror) -> None:
    clock = mirror._running.clock
    assert isinstance(clock, Clock)
    for _ in range(4):
        clock.now += 61
        while mirror.step() < IDLE:
            pass


def free(tables: Path) -> int:
    """How many table files nobody holds."""
    count = 0
    for path in tables.iterdir():
        device = FileDevice.open(path)  # raises MemberInUse
        device.close()
        count += 1
    return count


def table(member: Member) -> CheckedDevice:
    assert member.checked is not None
    return member.checked


# -- files of their own -----------------------------------------------------------------------------


def test_the_file_of_a_table_is_let_go_of_with_its_member(tmp_path: Path) -> None:
    tables, devices = tmp_path / "tables", files(tmp_path)
    make_array("1.0", devices)
    mirror = assemble(devices, tables)
    settle(mirror)
    mirror.write(0, A)
    mirror.fail_member(devices[1].path)
    mirror.write(0, B)
    again = FileDevice.open(tmp_path / "right")
    mirror.add_member(again)
    back = next(member for member in mirror._record.members if member.device is again)
    assert table(back).place.own
    assert table(back).state is TableState.ON, "its table is its own superblock's still"
    settle(mirror)
    assert table(back).known(0, BLOCK) == [True]
    assert bytes(back.data.read(0, BLOCK)) == B
    mirror.close()
    assert free(tables) == 2


def test_a_look_before_the_start_reads_by_the_table_and_lets_go_of_it(tmp_path: Path) -> None:
    tables, devices = tmp_path / "tables", files(tmp_path)
    make_array("1.0", devices)
    members = [read_member(device) for device in devices]
    assert bytes(judge(members, expected_uuid=UUID, tables=tables).read(0, BLOCK)) == bytes(BLOCK)
    assert not tables.exists(), "nothing is made by a look"
    mirror = assemble(devices, tables)
    settle(mirror)
    mirror.write(0, A)
    mirror.close()
    devices = files(tmp_path)
    devices[0].write(512, b"x" * 512)
    judgement = judge([read_member(device) for device in devices], expected_uuid=UUID, tables=tables)
    assert bytes(judgement.read(0, BLOCK)) == A
    assert free(tables) == 2
    for device in devices:
        device.close()


def test_a_crash_between_data_and_checksums_prevents_no_look() -> None:
    made = array()
    made.mirror.write(0, A)
    made.mirror.flush()
    made.crash()
    for medium, torn in zip(made.media, (B, C), strict=True):
        medium.write(member_layout(SIZE).data_offset, torn)
    judgement = judge([read_member(medium) for medium in made.media], expected_uuid=UUID)
    assert bytes(judgement.read(0, BLOCK)) == B
    made.start()
    assert bytes(made.mirror.read(0, BLOCK)) == B


def test_a_table_that_was_lost_is_made_anew(tmp_path: Path) -> None:
    tables, devices = tmp_path / "tables", files(tmp_path)
    make_array("1.0", devices)
    mirror = assemble(devices, tables)
    settle(mirror)
    mirror.write(0, A)
    mirror.close()
    for path in tables.iterdir():
        path.unlink()
    mirror = assemble(files(tmp_path), tables)
    assert [table(m).state for m in mirror._record.members] == [TableState.REBUILDING] * 2
    settle(mirror)
    assert [table(m).known(0, BLOCK) for m in mirror._record.members] == [[True]] * 2
    mirror.close()


def test_a_folder_without_room_costs_the_checksums_and_not_the_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_self: FileDevice, _offset: int, _length: int) -> None:
        raise SpaceExhausted("no room")

    devices = files(tmp_path)
    make_array("1.0", devices)
    monkeypatch.setattr(FileDevice, "allocate", refuse)
    mirror = assemble(devices, tmp_path / "tables")
    assert [member.checked for member in mirror._record.members] == [None, None]
    mirror.write(0, A)
    mirror.close()
    assert free(tmp_path / "tables") == 2


# -- members that come and go -------------------------------------------------------------------------


def test_a_member_that_is_added_has_its_checksums_from_the_start() -> None:
    made = array()
    made.mirror.write(0, A + B)
    made.mirror.fail_member("disk1")
    new = FaultyDevice(MemoryDevice(SIZE, BLOCK, path="new"))
    made.mirror.add_member(new)
    member = next(each for each in made.mirror._record.members if each.device is new)
    assert table(member).state is TableState.ON
    made.settle()
    assert member.state is MemberState.IN_SYNC
    assert table(member).known(0, 2 * BLOCK) == [True, True]


def test_a_header_is_not_written_over_the_first_entries_of_a_new_member() -> None:
    made = array()
    new = MemoryDevice(SIZE, BLOCK, path="new")
    new.write(0, b"\xff" * SIZE)
    made.mirror.add_member(FaultyDevice(new))
    place = member_layout(SIZE)
    entries = bytes(new.read(place.table_offset, place.table_end - place.table_offset - BLOCK))
    assert entries == bytes(len(entries)), "what the disk held are no checksums"


def test_a_member_that_mdadm_made_anew_has_its_own_place_and_no_old_checksums() -> None:
    """``mdadm --add`` on another machine: its own data offset, and a log in the gap."""
    made = array()
    made.mirror.write(0, A + B)
    made.settle()
    made.stop()
    old = read_member(made.media[1])
    offset = old.superblock.header.data_offset + 2048
    for place in range(0, 8 * MIB, MIB):
        data = made.media[0].read(old.superblock.header.data_offset * SECTOR + place, MIB)
        made.media[1].write(offset * SECTOR + place, data)
    old.store_superblock(
        old.superblock.change(
            device_uuid=b"m" * 16,
            data_offset=offset,
            data_size=old.superblock.header.data_size - 4096,
            size=old.superblock.header.size - 4096,
            bblog_offset=88,
            bblog_size=8,
            bblog_shift=0,
        )
    )
    member = read_member(made.media[1])
    open_data(member, 8 * MIB)
    start = gap_start(member)
    assert start is not None
    assert start >= BLOCK + (88 + 8) * SECTOR
    assert table(member).state is TableState.REBUILDING
    assert table(member).covered == 0
    assert table(member).place.entries_offset >= start
    assert table(member).place.header_offset == offset * SECTOR - BLOCK
    assert bytes(member.data.read(0, 2 * BLOCK)) == A + B


def test_a_log_in_front_of_its_superblock_takes_nothing_from_the_gap() -> None:
    made = array()
    member = read_member(made.media[0])
    start = gap_start(member)
    member.superblock = member.superblock.change(bblog_offset=(1 << 32) - 8, bblog_size=8)
    assert gap_start(member) == start


@pytest.mark.parametrize("behind", [0, 1, 5])
def test_a_member_without_a_bitmap_is_taken_in_again(behind: int) -> None:
    """It was away when the others were given one, or a crash came before it was its turn."""
    made = array()
    for number in range(3):
        made.mirror.write(number * BLOCK, A)
        made.settle()
    made.stop()
    stale = read_member(made.media[1])
    header = stale.superblock.header
    stale.store_superblock(
        stale.superblock.change(
            feature_map=header.feature_map & ~int(Feature.BITMAP_OFFSET),
            bitmap_offset=0,
            events=header.events - behind,
        )
    )
    made.media[1].write(BITMAP_OFFSET, b"\x5a" * BLOCK)
    made.disks = [FaultyDevice(medium) for medium in made.media]
    members = [read_member(disk, need_bitmap=False) for disk in made.disks]
    mirror = Mirror.assemble(members, expected_uuid=UUID, clock=made.clock, observer=made.notes)
    made.mirror = mirror
    assert members[1].state is (MemberState.REBUILDING if behind > 1 else MemberState.IN_SYNC)
    mirror.write(MIB, B)
    made.settle()
    found = read_member(made.disks[1])
    assert found.bitmap is not None
    assert members[1].state is MemberState.IN_SYNC
    assert bytes(members[1].data.read(MIB, BLOCK)) == B


# -- binding --------------------------------------------------------------------------------------------


def test_progress_that_is_put_down_during_a_commit_keeps_both_superblocks() -> None:
    made = array()
    member = made.mirror._record.members[0]
    old = bytes(made.disks[0].read(BLOCK, BLOCK))
    new = bytearray(old)
    new[200] ^= 1
    table(member).bind(new)
    table(member).persist()  # the walk, in another thread
    for page in (old, bytes(new)):
        made.media[0].write(BLOCK, page)
        again = read_member_anyway(made.media[0], member)
        assert table(again).state is TableState.ON


def read_member_anyway(medium: MemoryDevice, like: Member) -> Member:
    """As it would be found, whatever its superblock's checksum."""
    again = Member(medium, "again", like.superblock, None, like.data, metadata=like.metadata)
    open_data(again, like.data.size)
    return again
