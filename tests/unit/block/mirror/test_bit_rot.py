"""What no longer is what was written is never delivered: it comes from the other member, and is put right."""

import os
from pathlib import Path
from random import Random

import pytest

from tests.unit.block.arrays import BLOCK, SIZE, UUID, Array, Clock, Notes, array, make
from twinlock.block.checked.device import CheckedDevice, TableState
from twinlock.block.faulty import FaultyDevice
from twinlock.block.file import FileDevice
from twinlock.block.memory import MemoryDevice
from twinlock.block.mirror.layout import BITMAP_OFFSET, member_layout
from twinlock.block.mirror.member import read_member
from twinlock.block.mirror.mirror import Mirror
from twinlock.block.mirror.ranges import RangeLock
from twinlock.block.mirror.stack import open_data
from twinlock.block.mirror.table_rebuild import TableRebuild
from twinlock.errors import MediumError, NotAMember
from twinlock.units import MIB

DATA = member_layout(SIZE).data_offset
TABLE = member_layout(SIZE).table_offset
A, B, C = (bytes([letter]) * BLOCK for letter in b"abc")


def flip(device: MemoryDevice | FaultyDevice, offset: int) -> None:
    place = offset // BLOCK * BLOCK
    block = bytearray(device.read(place, BLOCK))
    block[offset % BLOCK] ^= 0x10
    device.write(place, block)


def checked(made: Array, index: int) -> CheckedDevice:
    found = made.mirror._record.members[index].checked
    assert found is not None
    return found


def written(data: bytes = A + B + C) -> Array:
    """An array that holds ``data`` at its start, stopped cleanly and started again."""
    made = array()
    made.mirror.write(0, data)
    made.stop()
    made.start()
    return made


def rebuild(made: Array) -> TableRebuild:
    walk = TableRebuild(made.mirror._record, RangeLock(), observer=made.notes, clock=made.clock)
    while walk.step():
        pass
    return walk


# -- reads and writes -----------------------------------------------------------------------------


@pytest.mark.parametrize("index", [0, 1])
def test_a_rotten_block_is_answered_by_the_other_and_rewritten(index: int) -> None:
    made = written()
    flip(made.media[index], DATA + BLOCK + 7)
    read = made.mirror.read if index == 0 else made.mirror.read_medium
    assert bytes(read(0, 3 * BLOCK)) == A + B + C
    assert made.notes.wrong == [(index, BLOCK, BLOCK)]
    assert made.notes.repaired == [(index, BLOCK, BLOCK)]
    assert bytes(made.disks[index].read(DATA, 3 * BLOCK)) == A + B + C
    assert made.mirror._record.members[index].wrong_checksums == 1


def test_rot_on_the_last_member_is_a_medium_error_until_it_is_written() -> None:
    made = written()
    made.disks[1].vanish()
    made.mirror.write(MIB, A)
    flip(made.disks[0], DATA + BLOCK)
    assert bytes(made.mirror.read(0, BLOCK)) == A
    with pytest.raises(MediumError) as caught:
        made.mirror.read(0, 3 * BLOCK)
    assert caught.value.offset == BLOCK
    assert made.mirror.read_nowait(BLOCK, BLOCK) is None
    made.mirror.write(BLOCK, C)
    assert bytes(made.mirror.read(0, 3 * BLOCK)) == A + C + C


def test_rot_on_both_is_a_medium_error() -> None:
    made = written()
    for medium in made.media:
        flip(medium, DATA + BLOCK)
    with pytest.raises(MediumError):
        made.mirror.read(0, 3 * BLOCK)


def test_a_rotten_entry_is_put_right_though_nothing_flushes_and_the_worker_is_killed() -> None:
    made = written()
    flip(made.media[0], TABLE + 4)
    assert bytes(made.mirror.read(0, 3 * BLOCK)) == A + B + C
    made.crash()
    made.start(0)
    assert bytes(made.mirror.read(0, 3 * BLOCK)) == A + B + C


def small_blocks() -> Array:
    made = Array([MemoryDevice(SIZE, 512, path=f"disk{number}") for number in range(2)])
    make(made.media)
    made.start()
    made.mirror.write(0, A + B)
    made.stop()
    made.start()
    return made


def test_a_part_of_a_rotten_block_is_written_over_what_is_right() -> None:
    made = small_blocks()
    flip(made.media[0], DATA + 100)
    made.mirror.write(512, b"n" * 512)
    expected = A[:512] + b"n" * 512 + A[1024:]
    for disk in made.disks:
        assert bytes(disk.read(DATA, BLOCK)) == expected
    assert bytes(made.mirror.read(0, 2 * BLOCK)) == expected + B


def test_a_part_of_a_block_that_nobody_can_give_is_refused() -> None:
    made = small_blocks()
    for medium in made.media:
        flip(medium, DATA + 100)
    with pytest.raises(MediumError):
        made.mirror.write(512, b"n" * 512)
    made.mirror.write(0, C)
    assert bytes(made.mirror.read(0, BLOCK)) == C


def test_a_discard_leaves_blocks_alone_that_it_covers_in_part() -> None:
    made = small_blocks()
    made.mirror.discard(512, BLOCK)
    assert bytes(made.mirror.read(0, 2 * BLOCK)) == A + B
    made.mirror.discard(512, 2 * BLOCK - 512)
    assert bytes(made.mirror.read(0, BLOCK)) == A
    assert checked(made, 0).known(0, 2 * BLOCK) == [True, False]


def test_a_discarded_block_that_reads_differently_is_no_rot() -> None:
    made = written()
    made.mirror.discard(BLOCK, BLOCK)
    for disk, other in zip(made.disks, (A, C), strict=True):
        disk.write(DATA + BLOCK, other)
    made.mirror.read(0, 3 * BLOCK)
    made.mirror.read_medium(0, 3 * BLOCK)
    assert made.notes.wrong == made.notes.repaired == []


# -- a thousand flips, in real files ----------------------------------------------------------------


def open_files(paths: list[Path], notes: Notes) -> Mirror:
    members = [read_member(FileDevice.open(path)) for path in paths]
    return Mirror.assemble(members, expected_uuid=UUID, clock=Clock(), observer=notes)


def flip_in_file(path: Path, offsets: list[int]) -> None:
    fd = os.open(path, os.O_RDWR)
    for offset in offsets:
        os.pwrite(fd, bytes([os.pread(fd, 1, offset)[0] ^ 1]), offset)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def test_a_thousand_rotten_blocks_and_a_hundred_rotten_entries(tmp_path: Path) -> None:
    random, notes = Random(4), Notes()
    paths = [tmp_path / "left", tmp_path / "right"]
    devices = [FileDevice.open(path, size=SIZE) for path in paths]
    make(devices)
    for device in devices:
        device.close()
    mirror = open_files(paths, notes)
    content = random.randbytes(16 * MIB)
    for offset in range(0, len(content), MIB):
        mirror.write(offset, content[offset : offset + MIB])
    mirror.close()
    blocks = random.sample(range(len(content) // BLOCK), 1100)
    flip_in_file(paths[0], [DATA + block * BLOCK + random.randrange(BLOCK) for block in blocks[:1000]])
    flip_in_file(paths[0], [TABLE + block * 4 + random.randrange(4) for block in blocks[1000:]])
    mirror = open_files(paths, notes)
    for offset in range(0, len(content), MIB):
        assert bytes(mirror.read(offset, MIB)) == content[offset : offset + MIB]
    assert sorted(notes.wrong) == sorted((0, block * BLOCK, BLOCK) for block in blocks)
    assert sorted(notes.repaired) == sorted(notes.wrong)
    mirror.close()
    for path in paths:
        device = FileDevice.open(path)
        for offset in range(0, len(content), MIB):  # past the page cache
            assert bytes(device.read_medium(DATA + offset, MIB)) == content[offset : offset + MIB]
        device.close()
    again = Notes()
    mirror = open_files([paths[0]], again)  # the one that rotted, alone: its entries are right too
    assert bytes(mirror.read(0, len(content))) == content
    assert again.wrong == []
    mirror.close()


def test_a_bit_of_the_bitmap_that_rots_away_on_one_member_is_known_to_the_other() -> None:
    made = written()
    made.mirror.write(0, C)
    made.crash()
    page = bytearray(made.media[0].read(BITMAP_OFFSET, BLOCK))
    page[256:258] = bytes(2)
    made.media[0].write(BITMAP_OFFSET, page)
    made.media[1].write(DATA, B)  # it lost the write in the crash
    made.start()
    assert made.mirror._record.suspects.chunks == {0}
    assert bytes(made.mirror.read(0, BLOCK)) in (B, C)
    made.settle()
    assert bytes(made.disks[0].read(DATA, BLOCK)) == bytes(made.disks[1].read(DATA, BLOCK))
    assert made.notes.wrong == []


def test_flips_in_a_superblock_and_a_bitmap() -> None:
    made = written()
    made.stop()
    flip(made.media[0], 4096 + 100)
    with pytest.raises(NotAMember):
        read_member(made.media[0])
    made.start(1)
    assert bytes(made.mirror.read(0, BLOCK)) == A
    made = written()
    made.stop()
    flip(made.media[0], BITMAP_OFFSET + 300)  # a bit that is set for nothing, on one member
    made.start()
    assert bytes(made.mirror.read(0, 3 * BLOCK)) == A + B + C


# -- tables that are not trusted ---------------------------------------------------------------------


def as_the_kernel_would(medium: MemoryDevice, data: bytes) -> None:
    """Write data; the event count is back where it was, and the clock stands still."""
    superblock = read_member(medium).superblock
    medium.write(DATA, data)
    utime = superblock.header.utime & (1 << 40) - 1
    medium.write(4096, superblock.change(utime=utime).build())


def test_what_md_wrote_meanwhile_is_right_and_gets_new_checksums() -> None:
    made = written()
    made.stop()
    for medium in made.media:
        as_the_kernel_would(medium, C + A)
    made.start()
    assert checked(made, 0).state is checked(made, 1).state is TableState.REBUILDING
    assert bytes(made.mirror.read(0, 3 * BLOCK)) == C + A + C
    rebuild(made)
    assert checked(made, 0).state is checked(made, 1).state is TableState.ON
    made.stop()
    made.start()
    assert checked(made, 0).state is TableState.ON
    flip(made.disks[0], DATA)
    assert bytes(made.mirror.read(0, 3 * BLOCK)) == C + A + C
    assert made.notes.wrong == [(0, 0, BLOCK)]


def test_a_member_with_a_new_table_is_put_right_by_the_other_ones() -> None:
    made = written()
    made.stop()
    made.media[0].write(DATA - BLOCK, bytes(BLOCK))
    flip(made.media[0], DATA + BLOCK)
    made.start()
    walk = rebuild(made)
    assert walk.mismatches == 0
    assert bytes(made.disks[0].read(DATA, 3 * BLOCK)) == A + B + C
    assert checked(made, 0).known(0, 3 * BLOCK) == [True] * 3


def test_where_nobody_can_tell_both_copies_stay() -> None:
    made = written()
    made.stop()
    for medium in made.media:
        medium.write(DATA - BLOCK, bytes(BLOCK))
    flip(made.media[1], DATA + BLOCK)
    made.start()
    walk = rebuild(made)
    assert walk.mismatches == 1
    assert checked(made, 0).known(0, 3 * BLOCK) == [True, False, True]
    assert bytes(made.disks[1].read(DATA + BLOCK, BLOCK)) != B
    assert bytes(made.mirror.read(0, 3 * BLOCK)) == A + B + C


def test_a_walk_goes_on_where_it_was() -> None:
    made = written()
    made.stop()
    for medium in made.media:
        medium.write(DATA - BLOCK, bytes(BLOCK))
    made.start()
    walk = TableRebuild(made.mirror._record, RangeLock(), observer=made.notes, clock=made.clock)
    for _ in range(9):
        walk.step()
    walk.checkpoint()
    made.mirror.write(20 * MIB, C)  # above what is covered: no entry is needed
    made.crash()
    made.start()
    assert checked(made, 0).covered == 9 * MIB
    made.settle()
    rebuild(made)
    assert checked(made, 0).known(20 * MIB, BLOCK) == [True]


def test_a_table_that_was_not_kept_is_not_trusted_later() -> None:
    made = written()
    made.mirror.write(0, B)
    made.crash()
    made.disks = [FaultyDevice(medium) for medium in made.media]
    without = Mirror.assemble(  # active, and opened without checksums
        [read_member(disk) for disk in made.disks],
        expected_uuid=UUID,
        clock=made.clock,
        observer=made.notes,
        checksums=False,
    )
    without.write(0, C)  # no superblock is written any more
    made.crash()
    made.start()
    assert checked(made, 0).state is checked(made, 1).state is TableState.REBUILDING
    made.settle()
    assert bytes(made.mirror.read_medium(0, BLOCK)) == C
    assert made.notes.wrong == []


def test_a_table_without_a_gap_lies_in_a_file(tmp_path: Path) -> None:
    made = written()
    made.stop()
    member = read_member(made.media[0])
    member.superblock = member.superblock.change(bblog_offset=16, bblog_size=DATA // 512 - 32, bblog_shift=9)
    open_data(member, made.mirror.size, tmp_path / "tables")
    assert member.checked is not None
    assert member.checked.place.own
    assert member.checked.state is TableState.REBUILDING
    member.checked.cover(bytes(4096))
    member.data.write(0, A)
    member.data.flush()
    member.checked.persist()
    open_data(member, made.mirror.size, tmp_path / "tables")
    assert member.checked.covered == 4 * MIB
    assert member.checked.known(0, BLOCK) == [True]
    member.checked.place.device.close()


# -- power cuts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_after_a_power_cut_every_block_is_one_that_was_written(seed: int) -> None:
    random = Random(seed)
    made = array()
    flushed = {block: bytes(BLOCK) for block in range(4)}
    since: dict[int, list[bytes]] = {block: [] for block in range(4)}
    for turn in range(random.randrange(2, 12)):
        block = random.randrange(4)
        data = bytes([turn + 1]) * BLOCK
        made.mirror.write(block * BLOCK, data)
        since[block].append(data)
        if random.random() < 0.3:
            made.mirror.flush()
            flushed |= {number: each[-1] for number, each in since.items() if each}
            since = {number: [] for number in range(4)}
    for disk in made.disks:
        disk.power_cut(lambda _index: random.random() < 0.5)
    made.start()
    seen = [bytes(made.mirror.read(block * BLOCK, BLOCK)) for block in range(4)]
    for block, found in enumerate(seen):
        assert found in [flushed[block], *since[block]]
    made.settle()
    assert [bytes(made.mirror.read_medium(block * BLOCK, BLOCK)) for block in range(4)] == seen
    for block in range(4):
        assert {bytes(disk.read(DATA + block * BLOCK, BLOCK)) for disk in made.disks} == {seen[block]}
    made.stop()
    made.start()
    assert bytes(made.mirror.read_medium(0, 4 * BLOCK)) == b"".join(seen)
    assert made.notes.wrong == []
