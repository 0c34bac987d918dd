"""Members that come while a write waits, and spares whose checksums are kept until they are needed."""

from collections.abc import Callable
from threading import Event, Thread

import pytest

from tests.support.rig import eventually
from tests.unit.block.arrays import BLOCK, SIZE, Array, array, make
from twinlock.block.checked.device import TableState
from twinlock.block.faulty import FaultyDevice
from twinlock.block.memory import MemoryDevice
from twinlock.block.mirror.member import Member, MemberState, read_member
from twinlock.block.mirror.mirror import Mirror
from twinlock.units import MIB

A, B = (bytes([letter]) * BLOCK for letter in b"ab")
PATIENCE = 10.0


def small(path: str, size: int = SIZE) -> MemoryDevice:
    return MemoryDevice(size, 512, path=path)


def member_on(made: Array, device: FaultyDevice) -> Member:
    return next(each for each in made.mirror._record.members if each.device is device)


CHANGES: dict[str, tuple[Callable[[Mirror], None], bytes]] = {
    "write": (lambda mirror: mirror.write(512, b"n" * 512), A[:512] + b"n" * 512 + A[1024:]),
    "discard": (lambda mirror: mirror.discard(512, 512), A),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_a_part_of_a_block_that_waited_for_a_member_with_checksums_keeps_the_rest(
    what: str,
) -> None:
    """It was asked for while no member had any."""
    made = Array([small("disk0"), small("disk1")])
    make(made.media)
    made.start()
    for member in made.mirror._record.members:
        assert member.checked is not None
        member.data, member.checked = member.checked.lower, None
    made.mirror.write(0, A)
    made.mirror.fail_member("disk1")
    new, taken, go_on = FaultyDevice(small("new")), Event(), Event()
    done: list[None] = []
    adding = Thread(target=lambda: made.mirror.add_member(new))
    writing = Thread(target=lambda: done.append(CHANGES[what][0](made.mirror)))

    def hook(kind: str, _offset: int, _length: int) -> None:
        if kind == "w" and made.mirror._ranges._queue and not taken.is_set():
            taken.set()
            assert go_on.wait(PATIENCE)

    new.hook = hook
    adding.start()
    assert taken.wait(PATIENCE)
    writing.start()
    eventually(lambda: made.mirror._ranges._waiting == 1)
    go_on.set()
    for thread in (adding, writing):
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert done == [None], "it succeeded"
    expected = CHANGES[what][1]
    assert bytes(made.mirror.read(0, BLOCK)) == expected
    made.settle()
    added = member_on(made, new)
    assert added.checked is not None
    assert added.checked.known(0, BLOCK) == [True]
    assert bytes(added.data.read(0, BLOCK)) == expected


# -- spares -----------------------------------------------------------------------------------------


def with_spare(size: int = SIZE) -> tuple[Array, FaultyDevice]:
    made = array()
    made.mirror.write(0, A + B)
    spare = FaultyDevice(MemoryDevice(size, BLOCK, path="spare"))
    made.media.append(spare.lower)  # type: ignore[arg-type]
    made.disks.append(spare)
    made.mirror.add_member(spare)
    made.mirror.write(20 * MIB, A)
    made.settle()  # commits that the spare's superblock takes part in
    return made, spare


def fill(made: Array, spare: FaultyDevice) -> Member:
    """Lose a member; the spare takes its place.  No table is read or made on the way."""
    made.mirror.fail_member("disk1")
    while made.mirror.status().degraded:
        made.clock.now += 1
        made.mirror.step()
        found = member_on(made, spare)
        assert found.checked is not None
        assert found.checked.state is TableState.ON
    return found


def known_of(member: Member) -> list[bool]:
    assert member.checked is not None
    return [member.checked.known(place, BLOCK)[0] for place in (0, BLOCK, 20 * MIB, 40 * MIB)]


def test_the_checksums_of_a_spare_are_good_when_it_is_filled() -> None:
    made, spare = with_spare()
    assert known_of(fill(made, spare)) == [True, True, True, False]


def test_also_after_a_restart_in_between() -> None:
    made, _ = with_spare()
    made.stop()
    made.start()
    assert made.mirror.status().members[2].state is MemberState.SPARE
    assert known_of(fill(made, made.disks[2])) == [True, True, True, False]


def test_what_a_spare_held_before_is_not_believed_when_it_is_filled() -> None:
    """Others wrote to it meanwhile, as md would: their superblock is none that its checksums go with."""
    made, _ = with_spare()
    made.stop()
    superblock = read_member(made.media[2]).superblock
    made.media[2].write(4096, superblock.change(utime=superblock.header.utime & (1 << 40) - 1).build())
    made.start()
    waiting = made.mirror._record.members[2]
    assert waiting.checked is not None
    assert waiting.checked.state is TableState.REBUILDING
    made.mirror.fail_member("disk1")
    made.settle()
    assert known_of(waiting) == [True, True, True, False]


def test_a_spare_that_fails_to_keep_its_checksums_does_not_hold_up_the_array() -> None:
    made, spare = with_spare()
    spare.vanish()
    made.mirror.write(0, B)
    made.settle()
    assert bytes(made.mirror.read(0, BLOCK)) == B
    with pytest.raises(StopIteration):
        next(each for each in made.mirror._record.spares() if each.device is spare)
