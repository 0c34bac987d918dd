"""The power goes before every single write and flush, around data, entries, header, bitmap and superblock."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.unit.block.arrays import BLOCK, Array, make, media
from twinlock.block.checked.device import TableState
from twinlock.block.mirror.layout import member_layout
from twinlock.block.mirror.mirror import IDLE
from twinlock.units import MIB

SIZE = 16 * MIB
DATA = member_layout(SIZE).data_offset
BLOCKS = (0, 1, 1024, 2047)
"""Two pages of entries, two chunks."""
ZEROS = bytes(BLOCK)

SURVIVES: dict[str, Callable[[int, int], bool]] = {
    "all of it": lambda _disk, _part: True,
    "nothing": lambda _disk, _part: False,
    "one disk": lambda disk, _part: disk == 0,
    "the other disk": lambda disk, _part: disk == 1,
    "every other sector": lambda disk, part: (part + disk) % 2 == 0,
}


class PowerCut(Exception):
    """Nothing more reaches a disk."""


class Story:
    """What is done to an array, and which contents each block may have after a power cut."""

    def __init__(self, cut: int | None, *, stale: bool) -> None:
        self.left = cut
        self.count = 0
        self.stale = stale
        self.made = Array(media(2, SIZE))
        make(self.made.media)
        self.made.start()
        self.may = {block: [ZEROS] for block in BLOCKS}
        if stale:
            self.write(0, b"r")
            self.write(2047, b"s")
            self.made.stop()
            for medium in self.made.media:
                medium.write(DATA - BLOCK, ZEROS)
            self.flushed()
            self.made.start()
        for disk in self.made.disks:
            disk.hook = self.operation

    def operation(self, letter: str, _offset: int, _length: int) -> None:
        if letter == "r":
            return
        self.count += 1
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise PowerCut

    def write(self, block: int, letter: bytes, *, durable: bool = False) -> None:
        data = letter * BLOCK
        self.may[block].append(data)
        mirror = self.made.mirror
        (mirror.write_durable if durable else mirror.write)(block * BLOCK, data)
        if durable:
            self.may[block] = [data]

    def discard(self, block: int) -> None:
        self.may[block].append(ZEROS)
        self.made.mirror.discard(block * BLOCK, BLOCK)

    def flush(self) -> None:
        self.made.mirror.flush()
        self.flushed()

    def flushed(self) -> None:
        self.may = {block: [each[-1]] for block, each in self.may.items()}

    def tell(self) -> None:
        self.write(0, b"a")
        self.write(1024, b"b")
        self.flush()
        self.made.settle()
        self.write(0, b"c", durable=True)
        self.write(1, b"d")
        self.discard(1024)
        self.write(2047, b"e")
        self.flush()
        self.write(1, b"f")
        self.made.clock.now += 6
        while self.made.mirror.step() < IDLE:
            pass
        self.write(0, b"g")

    def cut(self, survives: Callable[[int, int], bool], *, torn: bool) -> None:
        for number, disk in enumerate(self.made.disks):
            disk.power_cut(lambda part, number=number: survives(number, part), torn=torn)  # type: ignore[misc]

    def check(self) -> None:
        made = self.made
        made.start()
        if not self.stale:
            assert {member.checked and member.checked.state for member in made.mirror._record.members} == {
                TableState.ON
            }, "a crash costs no table"
        seen = [bytes(made.mirror.read(block * BLOCK, BLOCK)) for block in BLOCKS]
        for block, found in zip(BLOCKS, seen, strict=True):
            for place in range(
                0, BLOCK, 512
            ):  # a disk writes a sector whole or not at all, and promises no more
                assert found[place : place + 512] in {each[place : place + 512] for each in self.may[block]}
        made.settle()
        for disk in made.disks:
            assert [bytes(disk.read(DATA + block * BLOCK, BLOCK)) for block in BLOCKS] == seen
        made.stop()
        made.start(1)
        assert [bytes(made.mirror.read_medium(block * BLOCK, BLOCK)) for block in BLOCKS] == seen
        assert made.notes.wrong == []


def operations(*, stale: bool) -> int:
    story = Story(None, stale=stale)
    story.tell()
    return story.count


@pytest.mark.parametrize("stale", [False, pytest.param(True, marks=pytest.mark.long)])
@pytest.mark.parametrize("kept", SURVIVES)
def test_a_power_cut_before_any_operation_leaves_what_was_written(kept: str, stale: bool) -> None:
    for cut in range(operations(stale=stale) + 1):
        story = Story(cut, stale=stale)
        with suppress(PowerCut):
            story.tell()
        story.cut(SURVIVES[kept], torn="sector" in kept)
        story.check()


@pytest.mark.long
@pytest.mark.parametrize("kept", ["nothing", "one disk", "every other sector"])
def test_a_second_cut_during_the_repair_changes_nothing_that_was_seen(kept: str) -> None:
    for first in range(0, operations(stale=False), 3):
        for second in range(0, 24, 2):
            story = Story(first, stale=False)
            with suppress(PowerCut):
                story.tell()
            story.cut(SURVIVES[kept], torn="sector" in kept)
            story.left, made = second, story.made
            made.start()
            for disk in made.disks:
                disk.hook = story.operation
            try:
                seen = {block: [bytes(made.mirror.read(block * BLOCK, BLOCK))] for block in BLOCKS}
                made.settle()
            except PowerCut:
                seen = story.may
            story.cut(SURVIVES[kept], torn="sector" in kept)
            story.may = seen
            story.check()
