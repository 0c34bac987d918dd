"""Whether what is left after a crash is right: by a scrub, by the media themselves, by what was promised."""

from typing import TYPE_CHECKING

from tests.faults.harness.oracle import Illegal
from twinlock.block.mirror.member import MemberState

if TYPE_CHECKING:
    from tests.faults.harness.life import Life

BLOCK = 4096


def judge_scrub(life: "Life") -> None:
    """Nothing but what rotted is found."""
    rotten = bool(life.rotten)
    found = life.rig.scrub()
    life.rotten -= life.old_rot
    life.told.append(
        f"scrub {found.state}: {found.wrong} wrong, {found.mismatches} differ, {found.lost} lost"
    )
    wrong = 0 if rotten else found.wrong
    if wrong or found.mismatches or found.lost or found.unreadable:
        raise Illegal(f"a scrub finds {found}")


def judge_media(life: "Life") -> None:
    """All members in sync hold the same."""
    with life.rig.doing("flush") as mirror:
        mirror.flush()
    in_sync = life.rig.having(MemberState.IN_SYNC)
    size = life.rig.mirror.size
    starts = [life.rig.places[number].data_offset for number in in_sync]
    held = [life.rig.media[n].content[s : s + size] for n, s in zip(in_sync, starts, strict=True)]
    if any(each != held[0] for each in held):
        raise Illegal("the members differ after the resync")
