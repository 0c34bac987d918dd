"""Members that come and go while the array runs."""

import contextlib
from collections.abc import Callable
from functools import partial

import pytest

from tests.unit.block.arrays import BLOCK, SIZE, UUID, Array, array, make, media
from twinlock.block.faulty import FaultyDevice
from twinlock.block.memory import MemoryDevice
from twinlock.block.mirror.choose import choose
from twinlock.block.mirror.layout import member_layout
from twinlock.block.mirror.member import MemberState, read_member
from twinlock.block.mirror.reconcile import is_complete
from twinlock.block.mirror.scrub_status import ScrubState
from twinlock.errors import (
    DeviceError,
    DeviceGone,
    MemberNeeded,
    MembersDiverged,
    MemberTooSmall,
    NoSuchMember,
    NotPossibleNow,
    SpaceExhausted,
    WriteFailed,
)
from twinlock.units import MIB

DATA = member_layout(SIZE).data_offset
CHUNK = 4 * MIB
A, B, C = (bytes([letter]) * BLOCK for letter in b"abc")
IN_SYNC, REBUILDING, SPARE = MemberState.IN_SYNC, MemberState.REBUILDING, MemberState.SPARE
FAULTY, MISSING = MemberState.FAULTY, MemberState.MISSING


def states(made: Array) -> list[MemberState]:
    return [member.state for member in made.mirror.status().members]


def block(medium: MemoryDevice, offset: int = 0) -> bytes:
    return bytes(medium.read(DATA + offset, BLOCK))


def add(made: Array, medium: MemoryDevice) -> FaultyDevice:
    """Give the running array another medium."""
    disk = FaultyDevice(medium)
    if medium not in made.media:
        made.media.append(medium)
        made.disks.append(disk)
    else:
        made.disks[made.media.index(medium)] = disk
    made.mirror.add_member(disk)
    return disk


def blank(path: str = "new", size: int = SIZE) -> MemoryDevice:
    return MemoryDevice(size, BLOCK, path=path)


def test_what_was_failed_and_is_added_again_catches_up() -> None:
    made = array()
    made.mirror.write(0, A)
    made.mirror.fail_member("disk1")
    assert states(made) == [IN_SYNC, FAULTY]
    made.mirror.write(2 * CHUNK, B)
    made.media[1].write(DATA + 7 * CHUNK, C)  # outside the marked chunks: shows what is copied
    add(made, made.media[1])
    assert states(made) == [IN_SYNC, REBUILDING]
    made.mirror.write(3 * CHUNK, C)
    made.settle()
    assert states(made) == [IN_SYNC, IN_SYNC]
    assert [block(made.media[1], n * CHUNK) for n in (0, 2, 3, 7)] == [A, B, C, C]


def test_a_new_member_fills_a_free_place_and_is_complete_in_the_end() -> None:
    made = array()
    made.mirror.write(0, A)
    made.mirror.write(CHUNK, B)
    made.mirror.remove_member("disk0")
    assert states(made) == [MISSING, IN_SYNC]
    new = blank()
    new.write(DATA + 5 * CHUNK, C)  # what was there before
    add(made, new)
    made.settle()
    made.mirror.flush()
    assert states(made) == [IN_SYNC, IN_SYNC]
    assert bytes(new.read(DATA, SIZE - DATA)) == bytes(made.media[1].read(DATA, SIZE - DATA))
    header = read_member(new).superblock.header
    assert header.dev_number == 2
    assert read_member(made.media[1]).superblock.roles[:3] == (0xFFFE, 1, 0)


def test_a_spare_waits_and_takes_the_place_of_a_member_that_fails() -> None:
    made = array()
    made.mirror.write(0, A)
    add(made, blank("spare"))
    assert states(made) == [IN_SYNC, IN_SYNC, SPARE]
    assert read_member(made.media[2]).superblock.role == 0xFFFF
    made.disks[0].vanish()
    made.mirror.write(CHUNK, B)
    made.settle()
    assert states(made)[:2] == [IN_SYNC, IN_SYNC]
    assert [block(made.media[2], n) for n in (0, CHUNK)] == [A, B]


def without_bitmap(error: DeviceError) -> Callable[[str, int, int], None]:
    """What a device does that takes everything but the bitmap, which a spare gets with its place."""

    def fail(what: str, offset: int, _length: int) -> None:
        if what == "w" and offset == 2 * BLOCK:
            raise error

    return fail


def by_path(made: Array) -> dict[str | None, tuple[MemberState, int | None]]:
    return {member.path: (member.state, member.role) for member in made.mirror.status().members}


def test_a_spare_that_cannot_be_written_to_is_passed_over_and_the_next_one_takes_the_place() -> None:
    made = array()
    made.mirror.write(0, A)
    dead = add(made, blank("dead"))
    add(made, blank("spare"))
    dead.hook = without_bitmap(DeviceGone("unplugged"))
    made.mirror.fail_member("disk0")
    made.mirror.write(CHUNK, B)
    made.settle()
    found = by_path(made)
    assert (found["disk1"], found["spare"]) == ((IN_SYNC, 1), (IN_SYNC, 0))
    assert found["dead"][0] is FAULTY
    assert [block(made.media[3], n) for n in (0, CHUNK)] == [A, B]
    assert made.notes.failed == [0, 0], "the one that was failed, and the one that was to take its place"


def test_a_spare_without_room_waits_on_and_keeps_no_other_work_from_its_turn() -> None:
    made = array(3)
    spare = add(made, blank("spare"))
    spare.hook = without_bitmap(SpaceExhausted("no room"))
    made.mirror.fail_member("disk2")
    made.mirror.start_scrub(repair=False)
    made.settle()
    assert made.mirror.scrub_status.state is not ScrubState.RUNNING
    assert by_path(made)["spare"] == (SPARE, None)
    told = len(made.notes.stalled)
    for _ in range(20):
        made.mirror.step()
    assert len(made.notes.stalled) <= told + 1, "once in a while, not with every piece of other work"
    spare.hook = None
    made.settle()
    assert by_path(made)["spare"] == (IN_SYNC, 2)


def test_a_spare_is_found_again_after_a_restart_and_fills_a_place_at_the_start() -> None:
    made = array()
    add(made, blank("spare"))
    made.stop()
    made.start()
    assert states(made) == [IN_SYNC, IN_SYNC, SPARE]
    made.stop()
    made.start(0, 2)
    assert states(made) == [IN_SYNC, REBUILDING]


def test_who_waits_with_old_data_gives_them_up_before_anybody_else_says_so() -> None:
    """Else, if power fails between, it comes with an old claim that perhaps nobody is left to judge."""
    made = array()
    made.mirror.write(0, A)
    made.mirror.fail_member("disk1")
    add(made, blank("third"))
    made.settle()
    made.stop()
    mirror = made.start()
    assert by_path(made)["disk1"] == (SPARE, None), "there is no place for it"
    assert is_complete(read_member(made.media[1]).superblock), "what it holds is left alone till then"
    mirror.fail_member("disk0")
    claims: list[bool] = []

    def look(kind: str, offset: int, _length: int) -> None:
        if kind == "w" and offset == BLOCK:
            claims.append(is_complete(read_member(made.media[1]).superblock))

    made.disks[2].hook = look
    mirror.step()
    assert by_path(made)["disk1"] == (REBUILDING, 0)
    assert claims == [False]


def test_the_last_complete_member_stays() -> None:
    made = array()
    made.mirror.fail_member("disk0")
    with pytest.raises(MemberNeeded):
        made.mirror.fail_member("disk1")
    with pytest.raises(MemberNeeded):
        made.mirror.remove_member("disk1")
    with pytest.raises(NoSuchMember):
        made.mirror.fail_member("nobody")
    made.mirror.write(0, A)


def test_who_went_on_without_the_array_is_not_taken_back() -> None:
    made = array()
    made.stop()
    made.start(1)
    made.mirror.write(0, B)
    made.stop()
    made.start(0)
    made.mirror.write(0, A)
    with pytest.raises(MembersDiverged):
        made.mirror.add_member(FaultyDevice(made.media[1]))
    assert states(made) == [IN_SYNC, MISSING]
    assert block(made.media[1]) == B


def test_a_member_that_is_too_small_changes_nothing() -> None:
    made = array()
    made.mirror.fail_member("disk1")
    small = blank(size=SIZE // 2)
    with pytest.raises(MemberTooSmall):
        made.mirror.add_member(FaultyDevice(small))
    assert small._blocks == {}


def test_three_members_and_back_to_two() -> None:
    made = array()
    made.mirror.write(0, A)
    made.mirror.set_places(3)
    assert states(made) == [IN_SYNC, IN_SYNC, MISSING]
    assert made.mirror.status().degraded
    add(made, blank("third"))
    made.settle()
    assert states(made) == [IN_SYNC] * 3
    with pytest.raises(NotPossibleNow):
        made.mirror.set_places(2)
    made.mirror.remove_member("disk0")
    made.mirror.set_places(2)
    assert states(made) == [IN_SYNC, IN_SYNC]
    assert not made.mirror.status().degraded
    made.mirror.write(0, B)
    made.stop()
    made.start(1, 2)
    assert states(made) == [IN_SYNC, IN_SYNC]
    assert bytes(made.mirror.read(0, BLOCK)) == B


def test_a_member_is_replaced_and_takes_part_until_the_new_one_is_complete() -> None:
    made = array()
    made.mirror.write(0, A)
    new = blank()
    disk = FaultyDevice(new)
    made.media.append(new)
    made.disks.append(disk)
    made.mirror.replace_member("disk0", disk)
    assert states(made) == [IN_SYNC, IN_SYNC, REBUILDING]
    with pytest.raises(NotPossibleNow):
        made.mirror.replace_member("disk1", FaultyDevice(blank("other")))
    made.mirror.write(CHUNK, B)
    made.mirror.flush()
    assert block(made.media[0], CHUNK) == B
    made.settle()
    status = made.mirror.status()
    assert [(member.path, member.state) for member in status.members] == [
        ("new", IN_SYNC),
        ("disk1", IN_SYNC),
    ]
    assert (status.places, status.degraded, status.replacing) == (2, False, None)
    made.stop()
    made.start()  # the old one is there, too
    assert [member.path for member in made.mirror.status().members] == ["new", "disk1", "disk0"]
    assert states(made) == [IN_SYNC, IN_SYNC, SPARE]
    assert [block(new, n) for n in (0, CHUNK)] == [A, B]


@pytest.mark.parametrize("failing", [0, 2], ids=["old", "new"])
def test_a_member_that_fails_while_it_is_replaced(failing: int) -> None:
    made = array()
    made.mirror.write(0, A)
    new = blank()
    made.media.append(new)
    made.disks.append(FaultyDevice(new))
    made.mirror.replace_member("disk0", made.disks[2])
    made.disks[failing].vanish()
    made.mirror.write(CHUNK, B)
    made.settle()
    status = made.mirror.status()
    assert (status.places, status.degraded, status.replacing) == (2, False, None)
    assert states(made)[:2] == [IN_SYNC, IN_SYNC]
    assert bytes(made.mirror.read(CHUNK, BLOCK)) == B


def test_a_replacement_goes_on_after_a_restart() -> None:
    made = array()
    new = blank()
    made.media.append(new)
    made.disks.append(FaultyDevice(new))
    made.mirror.write(0, A)
    made.mirror.replace_member("disk0", made.disks[2])
    made.crash()
    made.start()
    assert states(made) == [IN_SYNC, IN_SYNC, REBUILDING]
    made.mirror.resume_replacement("disk0", "new")
    made.settle()
    assert [member.path for member in made.mirror.status().members] == ["new", "disk1"]


class PowerCut(Exception):
    """In the middle of a commit."""


@pytest.mark.parametrize("writes", range(12))
@pytest.mark.parametrize("change", ["add", "places", "replace", "fail", "swap", "swap alone", "fewer"])
def test_a_crash_in_a_change_leaves_an_array_that_starts(change: str, writes: int) -> None:
    made = array()
    made.mirror.write(0, A)
    new = blank()
    made.media.append(new)
    made.disks.append(FaultyDevice(new))
    if change == "add":
        made.mirror.fail_member("disk1")
    if change == "swap alone":
        made.mirror.fail_member("disk1")
    if change.startswith("swap"):
        made.mirror.replace_member("disk0", made.disks[2])
        made.mirror.step()
    if change == "fewer":
        made.mirror.set_places(3)
        made.mirror.add_member(made.disks[2])
        made.settle()
        made.mirror.remove_member("disk0")
    left = [writes]

    def count(kind: str, _offset: int, _length: int) -> None:
        if kind == "w":
            left[0] -= 1
            if left[0] < 0:
                raise PowerCut

    for disk in made.disks:
        disk.hook = count
    changes: dict[str, Callable[[], object]] = {
        "add": lambda: made.mirror.add_member(made.disks[2]),
        "places": lambda: made.mirror.set_places(3),
        "replace": lambda: made.mirror.replace_member("disk0", made.disks[2]),
        "fail": lambda: made.mirror.fail_member("disk0"),
        "swap": made.settle,
        "swap alone": made.settle,
        "fewer": lambda: made.mirror.set_places(2),
    }
    with contextlib.suppress(PowerCut):
        changes[change]()
    for disk in made.disks:
        disk.hook = None
    made.crash()
    left_out = {"swap alone": {1}, "fewer": {0}}.get(change, set())
    present = [number for number in range(3) if is_member(made.media[number]) and number not in left_out]
    made.start(*present)
    assert bytes(made.mirror.read(0, BLOCK)) == A
    made.settle()
    for number, member in enumerate(made.mirror.status().members):
        if member.state is IN_SYNC:
            medium = next(medium for medium in made.media if medium.path == member.path)
            assert block(medium) == A, number


def is_member(medium: MemoryDevice) -> bool:
    return bytes(medium.read(4096, BLOCK))[:4] == bytes.fromhex("fc4e2ba9")


def test_a_choice_between_halves_that_ran_apart() -> None:
    made = array()
    made.stop()
    for index, data in ((0, A), (1, B)):
        made.start(index)
        made.mirror.write(0, data)
        made.stop()
    with pytest.raises(MembersDiverged):
        made.start()
    members = [read_member(medium) for medium in made.media]
    with pytest.raises(NoSuchMember):
        choose(members, "nobody")
    assert choose(members, "disk1") == ["disk0"]
    made.start()
    made.settle()
    assert bytes(made.mirror.read(0, BLOCK)) == B
    assert block(made.media[0]) == B
    assert states(made) == [IN_SYNC, IN_SYNC]


def test_there_is_nothing_to_choose_between_members_that_agree() -> None:
    disks = media()
    make(disks, uuid=UUID)
    with pytest.raises(NotPossibleNow):
        choose([read_member(disk) for disk in disks], "disk0")


def test_who_was_never_filled_completely_cannot_be_chosen() -> None:
    """It has seen more than the other, and has not all of the data: to choose it would lose the rest."""
    made = array()
    made.stop()
    made.start(1)
    made.mirror.write(0, B)
    add(made, blank("new"))
    made.crash()
    made.start(0)
    made.mirror.write(0, A)
    made.stop()
    members = [read_member(made.media[number]) for number in (0, 2)]
    with pytest.raises(NotPossibleNow, match="never filled"):
        choose(members, "new")
    made.start(0)
    assert bytes(made.mirror.read(0, BLOCK)) == A


def test_a_choice_that_is_cut_off_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = array(3)
    made.stop()
    for index, data in ((0, A), (1, B), (2, C)):
        made.start(index)
        made.mirror.write(0, data)
        made.stop()
    members = [read_member(medium) for medium in made.media]
    with monkeypatch.context() as patch:
        patch.setattr(made.media[2], "write_durable", refuse)
        with pytest.raises(PowerCut):
            choose(members, "disk1")
    members = [read_member(medium) for medium in made.media]
    assert choose(members, "disk1") == ["disk2"]
    made.start()
    made.settle()
    assert states(made) == [IN_SYNC] * 3
    assert [block(medium) for medium in made.media] == [B] * 3


def refuse(_offset: int, _data: object) -> None:
    raise PowerCut


@pytest.mark.parametrize("kind", ["add", "wait", "replace"])
def test_a_change_that_fails_changes_nothing(kind: str) -> None:
    made = array()
    made.mirror.write(0, A)
    if kind == "add":
        made.mirror.fail_member("disk1")
    before = [(member.path, member.role, member.state) for member in made.mirror.status().members]
    new = FaultyDevice(blank())

    def fail(what: str, offset: int, _length: int) -> None:
        if what == "w" and offset == 2 * BLOCK:  # the bitmap
            raise WriteFailed("worn out", offset=offset)

    new.hook = fail
    change = partial(made.mirror.replace_member, "disk0") if kind == "replace" else made.mirror.add_member
    with pytest.raises(DeviceError):
        change(new)
    status = made.mirror.status()
    assert [(member.path, member.role, member.state) for member in status.members] == before
    assert (status.places, status.replacing) == (2, None)
    made.mirror.write(CHUNK, B)
    made.settle()
    made.mirror.flush()


def test_no_one_else_gets_the_additional_place_of_a_replacement() -> None:
    made = array()
    made.mirror.write(0, A)
    new = FaultyDevice(blank())
    made.mirror.replace_member("disk0", new)
    new.vanish()
    made.mirror.write(CHUNK, B)
    add(made, blank("other"))
    made.settle()
    status = made.mirror.status()
    assert status.places == 2
    assert not status.degraded
    made.disks[0].vanish()
    made.mirror.write(CHUNK, C)
    made.settle()
    assert states(made)[:2] == [IN_SYNC, IN_SYNC]


def test_members_in_places_that_stay_are_not_moved() -> None:
    made = array()
    made.mirror.set_places(3)
    add(made, blank("third"))
    made.settle()
    made.mirror.remove_member("disk0")
    made.mirror.set_places(2)
    found = {member.path: member.role for member in made.mirror.status().members}
    assert found == {"disk1": 1, "third": 0}
    made.mirror.fail_member("third")
    made.mirror.write(0, B)
    made.mirror.add_member(FaultyDevice(made.media[0]))  # it is known by what it knows
    made.settle()
    assert block(made.media[0]) == B
