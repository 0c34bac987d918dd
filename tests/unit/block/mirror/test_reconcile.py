"""Who is right: the table of cases, and what must hold for any superblocks at all."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.block.mirror.bitmap import STALE, BitmapHeader
from twinlock.block.mirror.reconcile import Plan, Verdict, View, account, choice, reconcile
from twinlock.block.mirror.superblock import (
    ACTIVE,
    CLEAN,
    ROLE_FAULTY,
    ROLE_SPARE,
    Feature,
    Superblock,
    SuperblockHeader,
)

F, S = ROLE_FAULTY, ROLE_SPARE
IN_SYNC, CATCH_UP, CONTINUE, REBUILD = Verdict.IN_SYNC, Verdict.CATCH_UP, Verdict.CONTINUE, Verdict.REBUILD
SPARE, OTHER, DIVERGED = Verdict.SPARE, Verdict.OTHER_ARRAY, Verdict.DIVERGED
FILLING = Feature.RECOVERY_OFFSET
BY_BITMAP = Feature.RECOVERY_OFFSET | Feature.RECOVERY_BITMAP


@dataclass(frozen=True)
class Says:
    """One member, in short."""

    number: int
    events: int
    roles: tuple[int, ...] = (0, 1)
    features: int = 0
    clean: bool = True
    cleared: int | None = 10
    bitmap_events: int | None = None
    state: int = 0
    uuid: bytes = b"u" * 16
    device: bytes = bytes(16)
    places: int = 2
    size: int = 0
    room: int = 0

    def view(self) -> View:
        header = SuperblockHeader(
            set_uuid=self.uuid,
            dev_number=self.number,
            device_uuid=self.device,
            events=self.events,
            feature_map=self.features | Feature.BITMAP_OFFSET,
            resync_offset=CLEAN if self.clean else ACTIVE,
            raid_disks=self.places,
            size=self.size,
            data_size=self.room,
            utime=1_790_000_000,
        )
        bitmap = None
        if self.cleared is not None:
            events = self.events if self.bitmap_events is None else self.bitmap_events
            bitmap = BitmapHeader(
                events=events, events_cleared=self.cleared, uuid=self.uuid, state=self.state
            )
        return View(f"disk{self.number}", Superblock(header, self.roles), bitmap)


def plan(*members: Says, expected: bytes | None = None) -> Plan | None:
    return reconcile([member.view() for member in members], expected)


CASES = {
    "both clean": ([Says(0, 10), Says(1, 10)], [IN_SYNC, IN_SYNC]),
    "cut off while becoming clean": ([Says(0, 11), Says(1, 10)], [IN_SYNC, IN_SYNC]),
    "the second is ahead by one": ([Says(0, 10), Says(1, 11)], [IN_SYNC, IN_SYNC]),
    "one alone": ([Says(1, 10)], [IN_SYNC]),
    "missed some, since bits were cleared": ([Says(0, 20, (0, F)), Says(1, 10)], [IN_SYNC, CATCH_UP]),
    "missed some, kernel's way": ([Says(0, 20, (0, S)), Says(1, 10)], [IN_SYNC, CATCH_UP]),
    "just failed": ([Says(0, 12, (0, F)), Says(1, 10)], [IN_SYNC, CATCH_UP]),
    "a change cut off, then the other one alone": ([Says(0, 12), Says(1, 12, (F, 1))], [CATCH_UP, IN_SYNC]),
    "missed too much": ([Says(0, 20, (0, F), cleared=11), Says(1, 10)], [IN_SYNC, REBUILD]),
    "behind, though called active": ([Says(0, 20), Says(1, 18)], [IN_SYNC, CATCH_UP]),
    "no bitmap to tell": ([Says(0, 20, (0, F), cleared=None), Says(1, 10)], [IN_SYNC, REBUILD]),
    "a bitmap behind its array": ([Says(0, 20, (0, F), bitmap_events=19), Says(1, 10)], [IN_SYNC, REBUILD]),
    "a bitmap called stale": ([Says(0, 20, (0, F), state=STALE), Says(1, 10)], [IN_SYNC, REBUILD]),
    "being filled": ([Says(0, 20), Says(1, 20, features=FILLING)], [IN_SYNC, CONTINUE]),
    "being caught up": ([Says(0, 20), Says(1, 20, features=BY_BITMAP)], [IN_SYNC, CATCH_UP]),
    "being caught up, bitmap lost": (
        [Says(0, 20, cleared=None), Says(1, 20, features=BY_BITMAP)],
        [IN_SYNC, REBUILD],
    ),
    "being filled, bitmap lost": (
        [Says(0, 20, cleared=None, clean=False), Says(1, 20, features=FILLING, clean=False)],
        [IN_SYNC, REBUILD],
    ),
    "being filled, bitmap behind": (
        [Says(0, 20, bitmap_events=19, clean=False), Says(1, 20, features=FILLING)],
        [IN_SYNC, REBUILD],
    ),
    "being filled, bitmap lost after a clean stop": (
        [Says(0, 20, cleared=None), Says(1, 20, features=FILLING)],
        [IN_SYNC, CONTINUE],
    ),
    "being filled, one event ahead": ([Says(0, 20), Says(1, 21, features=FILLING)], [IN_SYNC, CONTINUE]),
    "lost while being filled": ([Says(0, 30, (0, F)), Says(1, 20, features=FILLING)], [IN_SYNC, REBUILD]),
    "lost while caught up": ([Says(0, 30, (0, F)), Says(1, 20, features=BY_BITMAP)], [IN_SYNC, CATCH_UP]),
    "a spare and a free place": ([Says(0, 10, (0, F, S)), Says(2, 5, (0, F, S))], [IN_SYNC, REBUILD]),
    "a spare and no place": ([Says(0, 9), Says(1, 9), Says(2, 9, (0, 1, S))], [IN_SYNC, IN_SYNC, SPARE]),
    "replaced, and back": (
        [Says(0, 30, (0, F, 1)), Says(2, 30, (0, F, 1)), Says(1, 10)],
        [IN_SYNC, IN_SYNC, SPARE],
    ),
    "replaced, and back alone with the new one": (
        [Says(2, 30, (F, F, 1), cleared=20), Says(1, 10)],
        [IN_SYNC, REBUILD],
    ),
    "replaced, and back before any bit was cleared": (
        [Says(2, 30, (F, F, 1)), Says(1, 10)],
        [IN_SYNC, REBUILD],
    ),
    "replaced, and back with the new one, which last ran with the old": (
        [Says(2, 30, (0, F, 1)), Says(1, 10)],
        [IN_SYNC, CATCH_UP],
    ),
    "replaced, and back with the new one, by tables that cannot tell": (
        [Says(2, 30, (S, S, 1)), Says(1, 10, (0, 1, S))],
        [IN_SYNC, DIVERGED],
    ),
    "left before any other did, and the other one moved to its place": (
        [Says(2, 30, (F, 1, 0), places=3, cleared=20), Says(0, 10, (0, 1, 2), places=3)],
        [IN_SYNC, REBUILD],
    ),
    "the same, and its last companion was replaced, too": (
        [Says(2, 30, (F, F, 0, 1), places=3), Says(1, 10, (0, 1, 2), places=3)],
        [IN_SYNC, REBUILD],
    ),
    "the other one moved, but a table forgets": (
        [Says(2, 30, (S, F, 0, 1), places=3), Says(1, 10, (0, 1, 2), places=3)],
        [IN_SYNC, DIVERGED],
    ),
    "the other one moved, but a place was empty": (
        [Says(1, 30, (F, 0, F, 1), places=3), Says(0, 10, (0, 1, S), places=3)],
        [IN_SYNC, DIVERGED],
    ),
    "the other one moved, but a number is missing": (
        [Says(3, 30, (F, F, F, 0), places=2), Says(0, 10, (0, S, F, 1), places=2)],
        [IN_SYNC, DIVERGED],
    ),
    "ran alone, and was replaced": (
        [Says(2, 30, (0, F, 1)), Says(1, 25, (F, 1))],
        [IN_SYNC, DIVERGED],
    ),
    "ran alone, and was replaced; all are here": (
        [Says(2, 30, (0, F, 1)), Says(0, 30, (0, F, 1)), Says(1, 25, (F, 1))],
        [IN_SYNC, IN_SYNC, DIVERGED],
    ),
    "ran alone, and replaced the freshest": (
        [Says(0, 30, (0, F)), Says(1, 25, (F, 1, 0))],
        [IN_SYNC, DIVERGED],
    ),
    "ran alone, and replaced the freshest; all are here": (
        [Says(0, 30, (0, F)), Says(1, 25, (F, 1, 0)), Says(2, 25, (F, 1, 0))],
        [IN_SYNC, DIVERGED, DIVERGED],
    ),
    "ran alone, and replaced the freshest; the new one is here": (
        [Says(0, 30, (0, F)), Says(2, 25, (F, 1, 0))],
        [IN_SYNC, DIVERGED],
    ),
    "ran alone, and replaced the freshest, kernel's way": (
        [Says(0, 30, (0, S)), Says(1, 25, (S, 1, 0))],
        [IN_SYNC, DIVERGED],
    ),
    "each replaced the other, by disks of one number": (
        [Says(0, 30, (0, F, 1)), Says(1, 25, (F, 1, 0))],
        [IN_SYNC, DIVERGED],
    ),
    "each replaced the other, and one of the new ones is here": (
        [Says(2, 30, (0, F, 1)), Says(1, 25, (F, 1, 0))],
        [IN_SYNC, DIVERGED],
    ),
    "each replaced the other, and both of the new ones are here": (
        [Says(2, 30, (0, F, 1)), Says(2, 25, (F, 1, 0), device=b"d" * 16)],
        [IN_SYNC, DIVERGED],
    ),
    "taken out, put back in turn with another": (
        [Says(0, 30, (0, 1, F)), Says(2, 20, (0, F, 1))],
        [IN_SYNC, CATCH_UP],
    ),
    "stale, beside one that was being filled from another": (
        [Says(0, 10), Says(2, 30, (F, 1, 0), features=FILLING)],
        [IN_SYNC, DIVERGED],
    ),
    "stale, beside a spare of an array that went on": (
        [Says(0, 10), Says(2, 30, (F, 1, S))],
        [IN_SYNC, DIVERGED],
    ),
    "replaced by one that was added, in an array of one place": (
        [Says(2, 32, (F, F, 0)), Says(0, 30, (0, F, 2), places=3)],
        [IN_SYNC, CATCH_UP],
    ),
    "cut off while places were taken away, who moved is on disk": (
        [Says(2, 32, (F, 1, 0)), Says(1, 30, (F, 1, 2), places=3)],
        [IN_SYNC, CATCH_UP],
    ),
    "cut off while places were taken away, who stayed is on disk": (
        [Says(1, 32, (F, 1, 0)), Says(2, 30, (F, 1, 2), places=3)],
        [IN_SYNC, CATCH_UP],
    ),
    "taken back after it was replaced, and cut off": (
        [Says(2, 20, (1, F, 0, 2), places=3), Says(0, 10, (0, 1, 2), places=3)],
        [IN_SYNC, CATCH_UP],
    ),
    "ran apart, with one more place and disks of one number": (
        [Says(0, 30, (0, F, F, 1)), Says(1, 25, (F, 1, F, 2), places=3), Says(3, 30, (0, F, F, 1))],
        [IN_SYNC, DIVERGED, IN_SYNC],
    ),
    "away while the array grew": (
        [Says(0, 20, (0, F), size=9, room=9), Says(1, 10, size=5, room=9)],
        [IN_SYNC, REBUILD],
    ),
    "too small for what the array has become": (
        [Says(0, 20, (0, F), size=9, room=9), Says(1, 10, size=5, room=5)],
        [IN_SYNC, SPARE],
    ),
    "a copy of a member": ([Says(0, 10), Says(0, 10)], [IN_SYNC, SPARE]),
    "another array": ([Says(0, 10), Says(1, 9, uuid=b"v" * 16)], [IN_SYNC, OTHER]),
    "never filled, and all it knew are gone": (
        [Says(3, 40, (F, F, F, 0)), Says(2, 20, (0, F, 1), features=FILLING)],
        [IN_SYNC, REBUILD],
    ),
    "filled once, and all it knew are gone": (
        [Says(3, 40, (F, F, F, 0)), Says(2, 20, (0, F, 1))],
        [IN_SYNC, DIVERGED],
    ),
    "being caught up, and all it knew are gone": (
        [Says(3, 40, (F, F, F, 0)), Says(2, 20, (0, F, 1), features=BY_BITMAP)],
        [IN_SYNC, DIVERGED],
    ),
    "ran apart": ([Says(0, 20, (0, F)), Says(1, 15, (F, 1))], [IN_SYNC, DIVERGED]),
    "ran apart equally long": ([Says(0, 15, (0, F)), Says(1, 15, (S, 1))], [IN_SYNC, DIVERGED]),
    "ran alone, and the other knows nothing of it": ([Says(0, 20), Says(1, 19, (F, 1))], [IN_SYNC, DIVERGED]),
}


@pytest.mark.parametrize("name", CASES)
def test_cases(name: str) -> None:
    members, verdicts = CASES[name]
    found = plan(*members)
    assert found is not None
    assert list(found.verdicts) == verdicts


@pytest.mark.parametrize("name", CASES)
def test_the_order_of_members_changes_nothing_but_ties(name: str) -> None:
    members, verdicts = CASES[name]
    found = plan(*reversed(members))
    assert found is not None
    if len({member.events for member in members}) == len(members):
        assert list(found.verdicts) == verdicts[::-1]
    assert sorted(verdict.name for verdict in found.verdicts) == sorted(verdict.name for verdict in verdicts)


@pytest.mark.parametrize(
    "members",
    [
        [Says(0, 10, features=FILLING)],
        [Says(0, 10, (S, 1))],
        [Says(0, 10, features=FILLING), Says(1, 10, features=BY_BITMAP)],
    ],
)
def test_nothing_complete_is_nothing_to_start(members: list[Says]) -> None:
    assert plan(*members) is None


def test_an_array_that_is_not_expected_does_not_win() -> None:
    found = plan(Says(0, 99, uuid=b"v" * 16), Says(1, 10), expected=b"u" * 16)
    assert found is not None
    assert (found.freshest, found.verdicts) == (1, (OTHER, IN_SYNC))


def test_the_account_names_both_and_how_to_choose() -> None:
    views = [Says(0, 20, (0, F)).view(), Says(1, 15, (F, 1)).view()]
    found = reconcile(views)
    assert found is not None
    told = account(views, found)
    assert told == (
        "disk0 was last changed 2026-09-21 14:13:20 UTC at event 20 (more changes than any other), "
        "without disk1; "
        "disk1 was last changed 2026-09-21 14:13:20 UTC at event 15, without disk0"
    )
    assert "twinlock member choose NAME disk0 " in choice(views, found)


def every(number: int, *, short: bool = False) -> list[Says]:
    """All that a member may say, for a few values of each field."""
    tables = [(0, 1), (0, F), (F, 1), (S, S)] if not short else [(0, 1, 2), (0, F, 2), (F, 1, 2)]
    return [
        Says(number, events, roles, features, clean, cleared)
        for events in (10, 11, 13)
        for roles in tables
        for features in ((0, FILLING) if short else (0, FILLING, BY_BITMAP))
        for clean in ((True,) if short else (True, False))
        for cleared in ((10,) if short else (10, 12))
    ]


def check_soundness(members: list[Says], found: Plan | None) -> None:
    views = [member.view() for member in members]
    complete = [v for v in views if v.superblock.active and not v.superblock.features & FILLING]
    if found is None:
        assert complete == []
        return
    judge = views[found.freshest].superblock
    assert judge.active
    assert not judge.features & FILLING  # never an incomplete one as the source
    for view, verdict in zip(views, found.verdicts, strict=True):
        theirs = view.superblock
        if verdict is IN_SYNC:
            assert theirs.header.events + 1 >= judge.header.events  # never a stale one
            assert not theirs.features & FILLING
            assert judge.role_of(theirs.header.dev_number) == theirs.role  # never one it disagrees with
            assert theirs.role_of(judge.header.dev_number) == judge.role
        if verdict in (IN_SYNC, CATCH_UP, CONTINUE, REBUILD, SPARE):
            assert theirs.header.events <= judge.header.events + 1  # never one that knows more


def test_every_combination_of_two_members() -> None:
    for one in every(0):
        for other in every(1):
            check_soundness([one, other], plan(one, other))


def test_every_combination_of_three_members() -> None:
    for one in every(0, short=True):
        for other in every(1, short=True):
            for third in every(2, short=True):
                check_soundness([one, other, third], plan(one, other, third))


MEMBERS = st.builds(
    Says,
    number=st.integers(0, 3),
    events=st.integers(8, 14),
    roles=st.tuples(*[st.sampled_from([0, 1, F, S])] * 4),
    features=st.sampled_from([0, FILLING, BY_BITMAP]),
    clean=st.booleans(),
    cleared=st.none() | st.integers(5, 14),
    state=st.sampled_from([0, STALE]),
)


@given(st.lists(MEMBERS, min_size=1, max_size=4))
def test_whatever_members_say_the_plan_is_sound(members: list[Says]) -> None:
    found = plan(*members)
    views = [member.view() for member in members]
    if found is None:
        complete = [v for v in views if v.superblock.active and not v.superblock.features & FILLING]
        assert complete == []
        return
    judge = views[found.freshest].superblock
    assert found.verdicts[found.freshest] is IN_SYNC
    places = [role for role in found.roles if role is not None]
    assert len(places) == len(set(places))
    assert all(role < 2 for role in places)
    for view, verdict, role in zip(views, found.verdicts, found.roles, strict=True):
        superblock = view.superblock
        assert (role is not None) == (verdict in (IN_SYNC, CATCH_UP, CONTINUE, REBUILD))
        if verdict is IN_SYNC:
            assert superblock.header.events + 1 >= judge.header.events
            assert not superblock.features & FILLING
        if verdict is CATCH_UP:
            assert found.bitmap_valid
