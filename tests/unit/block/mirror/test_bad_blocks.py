"""Bad-block logs: listed sectors are answered from the other member, rewritten and forgotten."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.block.arrays import Clock
from tests.unit.block.formats import UUID, make_array
from twinlock.block.faulty import FaultyDevice
from twinlock.block.memory import MemoryDevice
from twinlock.block.mirror.badblocks import BadBlockDevice, BadBlockLog, with_bad_blocks
from twinlock.block.mirror.member import Member, read_member
from twinlock.block.mirror.mirror import Mirror
from twinlock.block.mirror.superblock import Feature
from twinlock.block.observer import SilentObserver
from twinlock.block.section import Section
from twinlock.errors import MediumError
from twinlock.units import MIB

SIZE = 64 * MIB
FIRST = 2048
"""The first sector of the data."""


def entries(*listed: tuple[int, int]) -> bytes:
    """A log as the kernel writes it: first sector and count."""
    words = (sector << 10 | count for sector, count in listed)
    return b"".join(word.to_bytes(8, "little") for word in words).ljust(4096, b"\xff")


def array(*listed: tuple[int, int], bad: tuple[int, ...] = (0,)) -> list[MemoryDevice]:
    made = [MemoryDevice(SIZE, path=f"disk{number}") for number in range(2)]
    make_array("1.2", made)
    for number in bad:
        member = read_member(made[number])
        place = member.metadata.bad_blocks_offset(member.superblock)
        made[number].write(place, entries(*listed))
        features = int(Feature.BITMAP_OFFSET | Feature.BAD_BLOCKS)
        page = member.metadata.build(member.superblock.change(feature_map=features))
        made[number].write(member.metadata.offset, page)
    return made


def assemble(made: list[MemoryDevice]) -> tuple[Mirror, list[FaultyDevice]]:
    faulty = [FaultyDevice(disk) for disk in made]
    members = [read_member(disk) for disk in faulty]
    return Mirror.assemble(members, expected_uuid=UUID, clock=Clock(), observer=SilentObserver()), faulty


def listed(member: Member) -> bytes:
    place = member.metadata.bad_blocks_offset(member.superblock)
    return bytes(member.device.read(place, 4096))


def test_an_empty_log_costs_nothing() -> None:
    member = read_member(array()[1])
    assert member.superblock.header.bblog_size == 8
    assert member.bad_blocks is None
    section = Section(member.device, 0, SIZE)
    assert with_bad_blocks(member.bad_blocks, section, 0) is section


def test_a_listed_sector_is_answered_by_the_other_member_and_rewritten() -> None:
    made = array((FIRST + 16, 8))
    made[1].write((FIRST + 16) * 512, b"right" * 819 + b"!")
    mirror, _ = assemble(made)
    assert bytes(mirror.read(8192, 4096)) == b"right" * 819 + b"!"
    assert listed(read_member(made[0])) == entries((FIRST + 16, 8)), "nothing is flushed yet"
    mirror.flush()
    assert bytes(made[0].read((FIRST + 16) * 512, 4096)) == b"right" * 819 + b"!"
    mirror.write(MIB, b"x" * 512)  # a commit
    member = read_member(made[0])
    assert listed(member) == entries()
    assert not member.superblock.features & Feature.BAD_BLOCKS


def test_what_both_list_cannot_be_read_and_can_be_written() -> None:
    made = array((FIRST + 16, 8), bad=(0, 1))
    mirror, _ = assemble(made)
    with pytest.raises(MediumError) as caught:
        mirror.read(8192, 4096)
    assert caught.value.offset == 8192
    mirror.write(8192, b"n" * 4096)
    assert bytes(mirror.read(8192, 4096)) == b"n" * 4096


def device(*found: tuple[int, int]) -> tuple[MemoryDevice, BadBlockLog, BadBlockDevice]:
    medium = MemoryDevice(4 * MIB)
    medium.write(0, entries(*found))
    log = BadBlockLog(medium, 0, 4096, 0)
    return medium, log, BadBlockDevice(Section(medium, MIB, MIB), log, MIB // 512)


def test_a_part_that_is_written_leaves_the_rest_listed() -> None:
    medium, _, data = device((MIB // 512 + 8, 8))
    data.write(8 * 512, b"x" * 512)
    data.write(11 * 512, b"x" * 512)
    data.flush()
    start = MIB // 512
    assert bytes(medium.read(0, 4096)) == entries((start + 9, 2), (start + 12, 4))
    with pytest.raises(MediumError) as caught:
        data.read(8 * 512, 8 * 512)
    assert caught.value.offset == 9 * 512
    assert bytes(data.read(11 * 512, 512)) == b"x" * 512


def test_what_is_written_during_a_flush_stays_listed() -> None:
    medium, log, data = device((MIB // 512, 8), (MIB // 512 + 64, 8))
    data.write(0, b"x" * 4096)
    before = log.bad
    data.write(64 * 512, b"x" * 4096)
    log.store(before)
    assert bytes(medium.read(0, 4096)) == entries((MIB // 512 + 64, 8))
    assert bytes(data.read(64 * 512, 4096)) == b"x" * 4096


@given(st.lists(st.tuples(st.integers(0, 511), st.integers(0, 15)), max_size=40), st.integers(0, 8))
def test_a_crash_while_a_long_log_is_rewritten_forgets_nothing(
    written: list[tuple[int, int]], sectors: int
) -> None:
    """The log's first sectors are new and the others old: what is bad is listed all the same."""
    start = MIB // 512
    medium, log, data = device(*((start + 4 * number, 4) for number in range(200)))
    old = bytes(medium.read(0, 4096))
    for number, length in written:
        data.write(number * 512, bytes(min(length, 2048 - number) * 512))
    bad = log.bad
    data.flush()
    new = bytes(medium.read(0, 4096))
    medium.write(0, new[: sectors * 512] + old[sectors * 512 :])
    found = BadBlockLog(medium, 0, 4096, 0)
    assert all(found.first(sector, sector + 1) is not None for one in bad for sector in range(*one))
