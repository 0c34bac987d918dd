"""Bits that flip on a medium: in data, or in checksums whose data are right; never twice in one block."""

from typing import TYPE_CHECKING

from twinlock.block.mirror.member import MemberState
from twinlock.native.checksum import EMPTY, UNKNOWN

if TYPE_CHECKING:
    from tests.faults.harness.life import Life

BLOCK = 4096
ENTRY = 4


def let_rot(life: "Life") -> None:
    """Of an array that is settled and flushed, some blocks with one possible value rot on one member each.

    Until a scrub has come by they are not written to: what a crash leaves of such a write cannot be told.
    """
    in_sync = life.rig.having(MemberState.IN_SYNC)
    if not life.rig.complete or len(in_sync) < 2 or life.rig.mirror.status().dirty:
        return
    for block in life.random.sample(life.blocks, 5):
        if life.oracle.stable(range(block // 512, (block + BLOCK) // 512)) and block not in life.rotten:
            number = life.random.choice(in_sync)
            _flip(life, number, life.rig.shift + block)
            life.rotten.add(block)
            life.told.append(f"block {block} rots on {number}")


def _flip(life: "Life", number: int, block: int) -> None:
    place = life.rig.places[number]
    medium = life.rig.media[number]
    entry = life.rig.tables()[number].place.entries_offset + block // BLOCK * ENTRY
    if bytes(medium.content[entry : entry + ENTRY]) in (EMPTY, UNKNOWN):
        return
    if life.random.random() < 0.3:
        medium.rot(entry + life.random.randrange(ENTRY))
    else:
        medium.rot(place.data_offset + block + life.random.randrange(BLOCK))
