"""The map in whole blocks, whatever the device's own grain is."""

from itertools import pairwise

import pytest

from tests.support.recording_device import RecordingDevice
from twinlock.scsi.operations import Extent
from twinlock.server.extents import MOST_LOOKS, extents


class Torn(RecordingDevice):
    """A device whose map is a string: a letter for each 512 bytes, ``.`` for a hole."""

    def __init__(self, plan: str) -> None:
        super().__init__(512 * len(plan))
        self.plan = plan
        self.looks = 0

    def allocation(self, offset: int, length: int) -> tuple[int, bool]:
        self.looks += 1
        rest = self.plan[offset // 512 : (offset + length) // 512]
        same = len(rest) - len(rest.lstrip("." if rest[0] == "." else "x"))
        return same * 512, rest[0] != "."


def found(plan: str, block: int, *, start: int = 0, most: int = 99) -> str:
    """The extents as ``plan`` is written, with a letter for each block."""
    device = Torn(plan)
    parts = extents(device, start, device.size, block, most)
    for left, right in pairwise(parts):
        assert left.offset + left.length == right.offset
        assert left.mapped is not right.mapped
    return "".join(
        "x" * (each.length // block) if each.mapped else "." * (each.length // block) for each in parts
    )


def test_blocks_as_small_as_the_grain() -> None:
    assert found("xx..x...", 512) == "xx..x..."
    assert found("xx..x...", 512, start=512) == "x..x..."
    assert found("........", 512) == "........"


def test_a_block_counts_if_any_of_it_does() -> None:
    assert found("x......................xxxxxxxxx", 4096) == "x.xx"
    assert found(".x.x.x.x........", 4096) == "x."
    assert found("............xxxxxxxx....", 4096) == ".xx"


@pytest.mark.parametrize(("most", "expected"), [(1, "xx"), (2, "xx.."), (3, "xx..x"), (4, "xx..x...")])
def test_no_more_than_were_asked_for(most: int, expected: str) -> None:
    assert found("xx..x...", 512, most=most) == expected


def test_neighbours_that_became_alike_are_one() -> None:
    assert extents(Torn("x.......x......."), 0, 8192, 4096, 1) == (Extent(0, 8192, True),)


def test_an_empty_range_has_no_extents() -> None:
    assert extents(Torn("xx"), 1024, 1024, 512, 5) == ()


def test_a_torn_file_is_not_asked_for_ever() -> None:
    device = Torn("x......." * (2 * MOST_LOOKS))
    assert extents(device, 0, device.size, 4096, 1) == (Extent(0, 4096 * MOST_LOOKS, True),)
    assert device.looks == MOST_LOOKS
