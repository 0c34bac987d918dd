"""Where the right copy is: on every member that missed nothing, and it stays known which copies are wrong."""

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.unit.block.arrays import BLOCK, SIZE, UUID, Array, array
from twinlock.block.faulty import FaultyDevice, Rates
from twinlock.block.memory import MemoryDevice
from twinlock.block.mirror.layout import SUPERBLOCK_OFFSET, member_layout
from twinlock.block.mirror.member import MemberState, read_member
from twinlock.block.mirror.mirror import IDLE, Mirror
from twinlock.block.mirror.reading import read_everywhere
from twinlock.errors import DeviceGone, MediumError
from twinlock.units import MIB

DATA = member_layout(SIZE).data_offset
CHUNK = 4 * MIB
A, B, C = (bytes([letter]) * BLOCK for letter in b"abc")


class PowerCut(BaseException):
    """In the middle of a commit."""


def rot(made: Array, index: int, offset: int) -> None:
    medium = made.media[index]
    block = bytearray(medium.read(DATA + offset, BLOCK))
    block[7] ^= 0x10
    medium.write(DATA + offset, block)


def states(made: Array) -> list[MemberState]:
    return [member.state for member in made.mirror.status().members]


def held(made: Array, index: int, offset: int = 0) -> bytes:
    return bytes(made.disks[index].read(DATA + offset, BLOCK))


def cut_off_at_its_superblock(disk: FaultyDevice) -> None:
    def look(kind: str, offset: int, _length: int) -> None:
        if (kind, offset) == ("w", SUPERBLOCK_OFFSET):
            raise PowerCut

    disk.hook = look


def written() -> Array:
    """A in the first chunk, B in the third, stopped and started again."""
    made = array()
    made.mirror.write(0, A)
    made.mirror.write(2 * CHUNK, B)
    made.stop()
    made.start()
    return made


def newcomer(made: Array) -> FaultyDevice:
    made.media.append(MemoryDevice(SIZE, BLOCK, path="new"))
    made.disks.append(FaultyDevice(made.media[-1]))
    return made.disks[-1]


CHANGES: dict[str, Callable[[Mirror, FaultyDevice], None]] = {
    "add": lambda mirror, new: mirror.add_member(new),
    "places": lambda mirror, _new: mirror.set_places(3),
    "replace": lambda mirror, new: mirror.replace_member("disk0", new),
}


@pytest.mark.parametrize("change", CHANGES)
def test_who_did_not_hear_of_a_newcomer_has_missed_nothing(change: str) -> None:
    """Else the other one would be the only source, and what rotted there were lost."""
    made = written()
    new = newcomer(made)
    cut_off_at_its_superblock(made.disks[1])
    with pytest.raises(PowerCut):
        CHANGES[change](made.mirror, new)
    made.crash()
    rot(made, 0, 0)
    made.start(0, 1)
    assert states(made)[:2] == [MemberState.IN_SYNC, MemberState.IN_SYNC]
    assert bytes(made.mirror.read(0, BLOCK)) == A
    assert made.notes.repaired == [(0, 0, BLOCK)]


@pytest.mark.parametrize("first", [0, 1])
def test_who_went_on_without_the_other_after_a_change_was_cut_off_is_the_source(first: int) -> None:
    made = written()
    cut_off_at_its_superblock(made.disks[1])
    with pytest.raises(PowerCut):
        made.mirror.add_member(newcomer(made))
    made.crash()
    made.start(first)
    made.mirror.write(0, C)
    made.crash()
    made.start(0, 1)
    made.settle()
    assert states(made)[:2] == [MemberState.IN_SYNC, MemberState.IN_SYNC]
    assert held(made, 0) == held(made, 1) == C


# -- members that rebuild -------------------------------------------------------------------------


def catching_up() -> Array:
    """Member 1 missed a write of C to the first chunk; nothing is copied yet."""
    made = written()
    made.stop()
    made.start(0)
    made.mirror.write(0, C)
    made.stop()
    made.start()
    assert states(made) == [MemberState.IN_SYNC, MemberState.REBUILDING]
    return made


def test_a_member_that_catches_up_answers_for_what_it_does_not_lack() -> None:
    made = catching_up()
    rot(made, 0, 2 * CHUNK)
    assert bytes(made.mirror.read(2 * CHUNK, BLOCK)) == B
    assert made.notes.repaired == [(0, 2 * CHUNK, BLOCK)]
    assert held(made, 0, 2 * CHUNK) == B


def test_a_member_that_catches_up_never_answers_for_what_it_lacks() -> None:
    made = catching_up()
    rot(made, 0, 0)
    with pytest.raises(MediumError):
        made.mirror.read(0, BLOCK)
    made.mirror.write(0, B)
    made.settle()
    assert held(made, 0) == held(made, 1) == B


def test_the_only_source_that_is_gone_is_not_failed_when_another_answers() -> None:
    made = catching_up()
    made.disks[0].vanish()
    assert bytes(made.mirror.read(2 * CHUNK, BLOCK)) == B
    assert states(made)[0] is MemberState.IN_SYNC


# -- no room for what is right --------------------------------------------------------------------


def full(disk: FaultyDevice) -> None:
    disk.rates = Rates(lambda: 0.0, {"w": {"S": 1.0}})


def test_a_repair_without_room_leaves_a_block_that_is_known_to_be_wrong() -> None:
    made = written()
    rot(made, 0, 0)
    full(made.disks[0])
    for _ in range(2):
        assert bytes(made.mirror.read(0, BLOCK)) == A
    assert made.notes.full
    made.disks[0].rates = None
    assert bytes(made.mirror.read(0, BLOCK)) == A
    assert held(made, 0) == A


def test_a_chunk_is_not_settled_while_a_member_has_no_room_for_it() -> None:
    made = array()
    made.mirror.write(0, A)
    made.mirror.flush()
    made.crash()
    made.media[1].write(DATA, C)  # it was in the middle of this write
    made.start()
    full(made.disks[1])
    made.clock.now += 1
    while made.mirror.step() < IDLE:
        pass
    assert made.mirror._record.suspects.chunks == {0}
    assert bytes(made.mirror.read(0, BLOCK)) == A
    made.disks[1].rates = None
    made.settle()
    assert held(made, 0) == held(made, 1) == A
    assert not made.mirror._record.suspects.chunks


# -- who leaves, and how ----------------------------------------------------------------------------


@pytest.mark.parametrize("leave", ["fail_member", "remove_member"])
def test_what_was_read_after_a_crash_is_read_again_when_the_member_it_came_from_left(leave: str) -> None:
    """A block that a crash left different was answered by one member, and written to the other."""
    made = array()
    made.mirror.write(0, A)
    made.mirror.flush()
    made.crash()
    made.media[1].write(DATA, C)
    made.start()
    assert bytes(made.mirror.read(0, BLOCK)) == A
    getattr(made.mirror, leave)("disk0")
    for disk in made.disks:
        disk.power_cut(lambda _index: False)
    made.start()
    assert bytes(made.mirror.read(0, BLOCK)) == A


def test_two_crashes_in_a_row_do_not_make_a_member_stale() -> None:
    """The first comes in a commit, the second in the start that follows, between its writes."""
    for writes in range(8):
        made = written()
        cut_off_at_its_superblock(made.disks[1])
        with pytest.raises(PowerCut):
            made.mirror.write(0, C)
        made.crash()
        start_and_cut_off(made, writes)
        made.start()
        assert states(made) == [MemberState.IN_SYNC, MemberState.IN_SYNC], writes


def start_and_cut_off(made: Array, writes: int) -> None:
    left = [writes]

    def look(kind: str, _offset: int, _length: int) -> None:
        left[0] -= kind == "w"
        if left[0] < 0:
            raise PowerCut

    made.disks = [FaultyDevice(medium, hook=look) for medium in made.media]
    members = [read_member(disk) for disk in made.disks]
    with contextlib.suppress(PowerCut):
        Mirror.assemble(members, expected_uuid=UUID, clock=made.clock, observer=made.notes)
    made.crash()


def test_closing_waits_for_a_write_on_its_way_and_fails_nobody() -> None:
    made = written()
    under_way, go_on = threading.Event(), threading.Event()

    def look(kind: str, offset: int, _length: int) -> None:
        if kind == "w" and offset == DATA:
            under_way.set()
            assert go_on.wait(10)

    made.disks[0].hook = look
    with ThreadPoolExecutor() as threads:
        write = threads.submit(made.mirror.write, 0, C)
        assert under_way.wait(10)
        stop = threads.submit(made.stop)
        late = threads.submit(made.mirror.write, 0, B)
        assert not stop.done()
        go_on.set()
        write.result(10)
        stop.result(10)
        with contextlib.suppress(DeviceGone):
            late.result(10)
    assert made.notes.failed == []
    made.start()
    assert states(made) == [MemberState.IN_SYNC, MemberState.IN_SYNC]
    assert not made.mirror.status().dirty
    assert held(made, 0) == held(made, 1) != A


@pytest.mark.parametrize("act", ["read", "flush"])
def test_who_finds_a_member_closed_does_not_call_it_faulty(act: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first member is closed, the other not yet, and a command that asked before is on its way."""
    made = written()
    record = made.mirror._record
    acts: dict[str, Callable[[], object]] = {
        "read": lambda: read_everywhere(record, made.notes, 0, BLOCK),
        "flush": made.mirror._flush,
    }
    close, over = made.disks[0].close, []

    def close_and_go_on() -> None:
        close()
        with contextlib.suppress(DeviceGone):
            acts[act]()
        over.append(act)

    monkeypatch.setattr(made.disks[0], "close", close_and_go_on)
    made.stop()
    assert over == [act]
    assert made.notes.failed == []
    made.start()
    assert states(made) == [MemberState.IN_SYNC, MemberState.IN_SYNC]


def test_a_replacement_that_is_lost_at_the_last_moment_leaves_the_old_member() -> None:
    made = written()
    made.mirror.fail_member("disk1")
    new = newcomer(made)
    made.mirror.replace_member("disk0", new)
    while new.path not in _in_sync(made):
        made.mirror.step()
    new.vanish()
    made.settle()
    assert _in_sync(made) == ["disk0"]
    assert bytes(made.mirror.read(0, BLOCK)) == A


def _in_sync(made: Array) -> list[str | None]:
    return [each.path for each in made.mirror.status().members if each.state is MemberState.IN_SYNC]
