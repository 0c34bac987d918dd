"""Operations on a real device: what is stored, what is atomic, and what may be done at once."""

import random
import time
from collections.abc import Callable, Iterator
from threading import Event, Lock, Thread
from typing import Any

import pytest

from tests.unit.scsi.support import disk, fault
from twinlock.block.faulty import FaultyDevice
from twinlock.block.memory import MemoryDevice
from twinlock.errors import MediumError
from twinlock.scsi.copy_jobs import CopyJob, Segment
from twinlock.scsi.geometry import Geometry
from twinlock.scsi.operations import (
    AbortTasks,
    BlockStatus,
    CompareAndWrite,
    Copy,
    Discard,
    Flush,
    Later,
    Operation,
    OrWrite,
    Prefetch,
    Read,
    Result,
    Status,
    Verify,
    Write,
    WriteSame,
    WriteVerify,
)
from twinlock.server.execute import PIECES_IN_MEMORY, Executor
from twinlock.server.pace import CAUTION, Pace
from twinlock.server.pieces import PIECE
from twinlock.units import MIB
from twinlock.wire.scsi_copy import CopyStatus

SIZE = 16 * MIB
BLOCK = 512
SOON = 0.15
"""Seconds in which a command that nothing holds up would be through."""


class Eager(Pace):
    """A device that is never behind."""

    def try_begin(self) -> object:
        return self.begin()


class Rig:
    """An executor on a device that can be watched, held and broken."""

    def __init__(self) -> None:
        self.memory = MemoryDevice(SIZE)
        self.device = FaultyDevice(self.memory)
        self.unit = disk(Geometry(SIZE // BLOCK))
        self.executor = Executor(self.unit, self.device)

    def hurry(self) -> None:
        """From now on writes are done at once, whatever the pace: only exclusion holds them up."""
        self.executor._pace = Eager()

    def run(self, operation: Operation) -> Result:
        result = self.executor.execute(operation)
        assert result.status is Status.GOOD, fault(result)
        return result

    def content(self, offset: int, length: int) -> bytes:
        return bytes(self.device.read(offset, length))

    def kinds(self) -> str:
        """What the device was asked to do: r, w, f, d."""
        return "".join(kind for kind, _, _ in self.device.operations)

    def holding(self, kind: str) -> tuple[Event, Event]:
        """The next operation of ``kind`` stops at the device; events: it is there, and it may go on."""
        there, go_on = Event(), Event()

        def hook(operation: str, _offset: int, _length: int) -> None:
            if operation == kind and not there.is_set():
                there.set()
                assert go_on.wait(20)

        self.device.hook = hook
        return there, go_on


@pytest.fixture
def rig() -> Rig:
    return Rig()


class Started(Thread):
    """A command in a thread of its own."""

    def __init__(self, call: Callable[[], Result]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.result: Result | None = None
        self.start()

    def run(self) -> None:
        self.result = self._call()

    def is_held_up(self) -> bool:
        self.join(SOON)
        return self.is_alive()

    def ended(self) -> Result:
        self.join(20)
        assert self.result is not None
        return self.result


# -- every operation ------------------------------------------------------------------------------


def test_every_operation_that_concerns_the_device_is_carried_out(rig: Rig) -> None:
    known = set(Operation.__args__)
    assert known - set(rig.executor._actions) == {AbortTasks, Later}


def test_reads_and_writes(rig: Rig) -> None:
    rig.run(Write(BLOCK, b"x" * BLOCK))
    assert bytes(rig.run(Read(0, 3 * BLOCK)).data_in) == bytes(BLOCK) + b"x" * BLOCK + bytes(BLOCK)
    assert rig.kinds() == "wr"


@pytest.mark.parametrize(
    ("operation", "kinds"),
    [
        (Read(0, BLOCK, fua=True), "fr"),
        (Write(0, bytes(BLOCK), fua=True), "wf"),
        (CompareAndWrite(0, bytes(BLOCK), b"x" * BLOCK, fua=True), "rwf"),
        (OrWrite(0, bytes(BLOCK), fua=True), "rwf"),
        (Verify(0, BLOCK), "fr"),
        (WriteVerify(0, bytes(BLOCK)), "wfr"),
        (Flush(), "f"),
        (Discard(((0, BLOCK), (0, 4096))), "dd"),
        (Prefetch(0, BLOCK), ""),
    ],
)
def test_what_the_device_is_asked(rig: Rig, operation: Operation, kinds: str) -> None:
    rig.run(operation)
    assert rig.kinds() == kinds


def test_forced_writes_survive_a_power_cut(rig: Rig) -> None:
    rig.run(Write(0, b"a" * BLOCK, fua=True))
    rig.run(OrWrite(BLOCK, b"b" * BLOCK, fua=True))
    rig.run(CompareAndWrite(2 * BLOCK, bytes(BLOCK), b"c" * BLOCK, fua=True))
    rig.run(Write(3 * BLOCK, b"d" * BLOCK))
    after = rig.device.power_cut(lambda _index: False)
    assert bytes(after.read(0, 4 * BLOCK)) == b"a" * BLOCK + b"b" * BLOCK + b"c" * BLOCK + bytes(BLOCK)


def test_verification_reads_the_medium(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the drive kept something else than the cache shows."""
    rig.run(Write(0, b"x" * BLOCK))
    monkeypatch.setattr(rig.device, "read_medium", lambda _offset, length: b"y" * length)
    for operation in (Verify(0, BLOCK, b"x" * BLOCK), WriteVerify(0, b"x" * BLOCK, compare=True)):
        assert fault(rig.executor.execute(operation)).code == (0xE, 0x1D, 0)
    assert rig.content(0, BLOCK) == b"x" * BLOCK


def test_verification(rig: Rig) -> None:
    rig.run(WriteVerify(0, b"x" * 1024, compare=True))
    rig.run(Verify(0, 1024, b"x" * 1024))
    assert fault(rig.executor.execute(Verify(0, 1024, b"x" * 1023 + b"y"))).information == 1
    rig.device.break_reads(BLOCK, BLOCK)
    assert fault(rig.executor.execute(Verify(0, 1024))).code == (3, 0x11, 0)


def test_one_block_is_compared_with_each_of_the_range(rig: Rig) -> None:
    block, length = bytes(range(256)) * 2, 2 * PIECE + 5 * BLOCK
    rig.run(WriteSame(BLOCK, length, block))
    for blocks in (1, 2, PIECE // BLOCK + 1, length // BLOCK):
        rig.run(Verify(BLOCK, blocks * BLOCK, block))
    for differs in (BLOCK, PIECE, PIECE + BLOCK, length):
        rig.run(Write(differs, block[:-1] + b"?"))
        assert fault(rig.executor.execute(Verify(BLOCK, length, block))).information == differs // BLOCK
        rig.run(Write(differs, block))


def test_verification_in_pieces_compares_each_with_its_own_data(rig: Rig) -> None:
    data = random.Random(2).randbytes(3 * PIECE + BLOCK)
    rig.run(WriteVerify(BLOCK, data, compare=True))
    rig.run(Verify(BLOCK, len(data), data))
    other = bytearray(data)
    other[2 * PIECE + 700] ^= 1
    found = fault(rig.executor.execute(Verify(BLOCK, len(data), other)))
    assert found.information == (BLOCK + 2 * PIECE + 700) // BLOCK


class Held:
    """Counts the bytes that are in memory."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._now = 0
        self.most = 0

    def add(self, size: int) -> None:
        with self._lock:
            self._now += size
            self.most = max(self.most, self._now)

    def read(self, _offset: int, length: int) -> bytes:
        add = self.add

        class Found(bytes):
            def __del__(self) -> None:
                add(-length)

        add(length)
        time.sleep(0.002)
        return Found(length)

    def write(self, _offset: int, data: bytes) -> None:
        self.add(len(data))
        time.sleep(0.002)
        self.add(-len(data))


@pytest.mark.parametrize(
    "operation", [Verify(0, 8 * MIB), Verify(0, 8 * MIB, bytes(BLOCK)), WriteSame(0, 8 * MIB, bytes(BLOCK))]
)
def test_a_window_of_long_commands_takes_little_memory(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, operation: Operation
) -> None:
    """No data-out bounds them: a few bytes ask for 8 MiB."""
    held = Held()
    monkeypatch.setattr(rig.device, "read_medium", held.read)
    monkeypatch.setattr(rig.device, "write", held.write)
    commands = [Started(lambda: rig.executor.execute(operation)) for _ in range(PIECES_IN_MEMORY + 8)]
    assert {command.ended().status for command in commands} == {Status.GOOD}
    assert PIECE < held.most <= PIECES_IN_MEMORY * PIECE


def test_who_waits_for_a_range_holds_up_no_other_range(rig: Rig) -> None:
    """Memory is taken after the range: else those who wait for it could have it all."""
    there, go_on = rig.holding("f")
    alone = Started(lambda: rig.executor.execute(WriteVerify(0, b"v" * BLOCK, compare=True)))
    assert there.wait(5)
    waiting = [
        Started(lambda: rig.executor.execute(WriteSame(0, BLOCK, bytes(BLOCK))))
        for _ in range(PIECES_IN_MEMORY)
    ]
    assert waiting[-1].is_held_up()
    rig.run(WriteSame(MIB, BLOCK, bytes(BLOCK)))
    go_on.set()
    assert alone.ended().status is Status.GOOD
    assert {each.ended().status for each in waiting} == {Status.GOOD}


def test_blocks_that_repeat(rig: Rig) -> None:
    length = 2 * PIECE + 5 * BLOCK
    rig.run(Write(0, b"z" * (length + 2 * BLOCK)))
    rig.device.operations.clear()
    rig.run(WriteSame(BLOCK, length, bytes(range(256)) * 2))
    right = rig.content(0, length + 2 * BLOCK) == (
        b"z" * BLOCK + bytes(range(256)) * 2 * (length // BLOCK) + b"z" * BLOCK
    )
    assert right
    sizes = [size for kind, _, size in rig.device.operations if kind == "w"]
    assert sizes == [PIECE, PIECE, 5 * BLOCK]


def test_compare_and_write(rig: Rig) -> None:
    rig.run(CompareAndWrite(0, bytes(1024), b"a" * 1024, wanted=2048))
    assert rig.content(0, 1024) == b"a" * 1024
    refused = rig.executor.execute(CompareAndWrite(0, b"a" * 600 + b"b" * 424, b"c" * 1024, fua=True))
    assert fault(refused)[:2] == ((0xE, 0x1D, 0), 600)
    assert rig.content(0, 1024) == b"a" * 1024
    assert "f" not in rig.kinds()


def test_bits_are_added(rig: Rig) -> None:
    rig.run(Write(0, b"\xa0\x0f" * 256))
    rig.run(OrWrite(0, b"\x05\x50" * 256))
    assert rig.content(0, BLOCK) == b"\xa5\x5f" * 256


def test_discards_and_the_map(rig: Rig) -> None:
    rig.run(Write(0, b"x" * 8192))
    rig.run(Flush())
    rig.run(Discard(((4096, 2048), (6144, 1024))))
    rig.run(Flush())
    data = bytes(rig.run(BlockStatus(0, SIZE, 8, 1024)).data_in)[8:]
    assert [(int.from_bytes(data[at : at + 8], "big"), data[at + 12]) for at in range(0, len(data), 16)] == [
        (0, 0),
        (8, 1),
        (14, 0),
        (16, 1),
    ]


def test_failures_become_sense_data(rig: Rig) -> None:
    rig.device.break_reads(1024, BLOCK)
    rig.device.break_writes(2048, BLOCK)
    cases: list[tuple[Operation, tuple[int, int, int], int]] = [
        (Read(0, 4096), (3, 0x11, 0), 2),
        (CompareAndWrite(1024, bytes(BLOCK), bytes(BLOCK)), (3, 0x11, 0), 2),
        (OrWrite(2048, bytes(BLOCK)), (3, 0x0C, 0), 4),
        (WriteSame(0, 4096, bytes(BLOCK)), (3, 0x0C, 0), 4),
        (Write(2048, bytes(BLOCK)), (3, 0x0C, 0), 4),
    ]
    for operation, code, block in cases:
        found = fault(rig.executor.execute(operation))
        assert (found.code, found.information) == (code, block)
    assert rig.executor.execute(Write(1024, bytes(BLOCK))).status is Status.GOOD, "nothing is left held"


# -- copies ---------------------------------------------------------------------------------------


def copy(*segments: tuple[int, int, int]) -> Copy:
    return Copy(tuple(Segment(*each) for each in segments), CopyJob())


def test_segments_are_copied_one_after_the_other(rig: Rig) -> None:
    rig.run(Write(0, b"a" * 1024 + b"b" * 1024))
    operation = copy((0, 4096, 1024), (4096, 8192, 2048), (0, 0, 0))
    rig.run(operation)
    assert rig.content(8192, 2048) == b"a" * 1024 + bytes(1024)
    job = operation.job
    assert (job.status, job.segments, job.copied) == (CopyStatus.COMPLETED, 3, 3072)


@pytest.mark.parametrize("distance", [BLOCK, -BLOCK, PIECE, PIECE - BLOCK, 3 * PIECE, 0])
def test_overlapping_segments_are_moved_whole(rig: Rig, distance: int) -> None:
    data = random.Random(1).randbytes(3 * PIECE + BLOCK)
    start = 4 * PIECE
    rig.run(Write(start, data))
    rig.run(copy((start, start + distance, len(data))))
    same = rig.content(start + distance, len(data)) == data
    assert same
    assert max(size for _, _, size in rig.device.operations[1:-1]) <= PIECE


def test_a_copy_that_fails_says_how_far_it_came(rig: Rig) -> None:
    rig.device.break_writes(8192, BLOCK)
    operation = copy((0, 4096, 1024), (0, 8192, 1024))
    result = rig.executor.execute(operation)
    assert fault(result).code == (0xA, 0x0D, 1)
    assert int.from_bytes(result.sense[10:12], "big") == 1
    assert (operation.job.status, operation.job.segments) == (CopyStatus.FAILED, 1)
    assert operation.job.sense == result.sense


def test_only_so_many_copies_at_a_time(rig: Rig) -> None:
    there, go_on = rig.holding("r")
    first = Started(lambda: rig.executor.execute(copy((0, 4096, 512))))
    assert there.wait(5)
    for _ in range(rig.unit.limits.copies - 1):
        rig.executor._copies.acquire()
    turned_away = copy((0, 8192, 512))
    assert rig.executor.execute(turned_away) == Result(Status.BUSY)
    assert (turned_away.job.status, turned_away.job.command_status) == (CopyStatus.FAILED, Status.BUSY)
    go_on.set()
    assert first.ended().status is Status.GOOD
    rig.run(copy((0, 8192, 512)))


def test_a_copy_that_goes_well_is_never_called_a_failure(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others ask while it runs, until its command has ended."""
    operation = copy((0, 4096, 512))
    seen: list[CopyStatus] = []
    finish = rig.unit.finish

    def watched(*arguments: Any) -> Result:
        seen.append(operation.job.status)
        return finish(*arguments)

    monkeypatch.setattr(rig.unit, "finish", watched)
    rig.run(operation)
    assert (seen, operation.job.status) == ([CopyStatus.IN_PROGRESS], CopyStatus.COMPLETED)


# -- what nobody wants any more -------------------------------------------------------------------


def after(count: int) -> Callable[[], bool]:
    """Given up once it was asked ``count`` times."""
    left: Iterator[bool] = iter([False] * count)
    return lambda: next(left, True)


@pytest.mark.parametrize(
    "operation",
    [
        Write(0, b"x" * BLOCK),
        WriteSame(0, BLOCK, b"x" * BLOCK),
        Discard(((0, BLOCK),)),
        CompareAndWrite(0, bytes(BLOCK), b"x" * BLOCK),
    ],
)
def test_what_is_given_up_before_it_began_has_no_effect(rig: Rig, operation: Operation) -> None:
    assert rig.executor.execute(operation, lambda: True) == Result(Status.TASK_ABORTED)
    assert rig.kinds() == ""


def test_long_commands_stop_between_pieces(rig: Rig) -> None:
    fill = WriteSame(0, 8 * PIECE, b"x" * BLOCK)
    assert rig.executor.execute(fill, after(3)) == Result(Status.TASK_ABORTED)
    assert rig.kinds() == "ww"
    rig.device.operations.clear()
    operation = copy((0, 8 * PIECE, 8 * PIECE))
    assert rig.executor.execute(operation, after(4)) == Result(Status.TASK_ABORTED)
    assert rig.kinds() == "rwrwrw"
    rig.device.operations.clear()
    assert rig.executor.execute(Verify(0, 8 * PIECE), after(3)) == Result(Status.TASK_ABORTED)
    assert rig.kinds() == "frr"
    assert (operation.job.status, operation.job.command_status) == (CopyStatus.FAILED, Status.TASK_ABORTED)
    rig.run(copy((0, 8 * PIECE, PIECE)))


# -- at once --------------------------------------------------------------------------------------


def test_plain_reads_and_writes_are_done_at_once(rig: Rig) -> None:
    assert rig.executor.try_inline(Write(0, b"x" * BLOCK, wanted=BLOCK)) == Result(
        Status.GOOD, data_out_used=BLOCK
    )
    rig.executor = Executor(rig.unit, rig.memory)
    assert rig.executor.try_inline(Read(0, BLOCK)) is not None


@pytest.mark.parametrize(
    "operation",
    [
        Read(0, BLOCK, fua=True),
        Write(0, bytes(BLOCK), fua=True),
        Flush(),
        Verify(0, BLOCK),
        Prefetch(0, BLOCK),
        WriteSame(0, BLOCK, bytes(BLOCK)),
        CompareAndWrite(0, bytes(BLOCK), bytes(BLOCK)),
        OrWrite(0, bytes(BLOCK)),
        BlockStatus(0, BLOCK, 1, 24),
        Discard(((0, BLOCK),)),
    ],
)
def test_all_else_goes_to_the_pool(rig: Rig, operation: Operation) -> None:
    assert rig.executor.try_inline(operation) is None
    assert rig.kinds() == ""


def test_an_inline_write_that_fails_says_so_and_lets_go(rig: Rig) -> None:
    rig.device.break_writes(0, BLOCK)
    result = rig.executor.try_inline(Write(0, bytes(BLOCK)))
    assert result is not None
    assert fault(result).code == (3, 0x0C, 0)
    rig.device = FaultyDevice(rig.memory)
    assert fault(rig.executor.execute(CompareAndWrite(0, bytes(BLOCK), bytes(BLOCK)))).code == (3, 0x0C, 0)


def test_reads_that_would_fail_are_left_to_the_pool(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> None:
        raise MediumError("bad")

    monkeypatch.setattr(rig.device, "read_nowait", fail)
    assert rig.executor.try_inline(Read(0, BLOCK)) is None


def test_after_a_slow_write_others_go_to_the_pool_for_a_while(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def slow(_kind: str, _offset: int, _length: int) -> None:
        now[0] += 1.0

    rig.device.hook = slow
    assert rig.executor.try_inline(Write(0, bytes(BLOCK))) is not None
    assert rig.executor.try_inline(Write(0, bytes(BLOCK))) is None
    now[0] += CAUTION
    assert rig.executor.try_inline(Write(0, bytes(BLOCK))) is not None


# -- one at a time --------------------------------------------------------------------------------

RIVALS = {
    "write": Write(BLOCK, b"r" * BLOCK),
    "write same": WriteSame(0, 4096, b"r" * BLOCK),
    "discard": Discard(((BLOCK, BLOCK),)),
    "copy": Copy((Segment(8192, 0, 4096),), CopyJob()),
    "write and verify": WriteVerify(BLOCK, b"r" * BLOCK, compare=True),
    "or": OrWrite(BLOCK, b"r" * BLOCK),
    "compare and write": CompareAndWrite(BLOCK, b"b" * BLOCK, b"r" * BLOCK),
}


@pytest.mark.parametrize("rival", RIVALS.values(), ids=RIVALS)
def test_nothing_comes_between_comparison_and_write(rig: Rig, rival: Operation) -> None:
    rig.run(Write(8192, b"r" * 4096))
    there, go_on = rig.holding("w")
    swap = Started(lambda: rig.executor.execute(CompareAndWrite(0, bytes(1024), b"b" * 1024)))
    assert there.wait(5), "compared, and about to write"
    other = Started(lambda: rig.executor.execute(rival))
    assert other.is_held_up()
    go_on.set()
    assert swap.ended().status is Status.GOOD
    assert other.ended().status is Status.GOOD
    assert rig.content(BLOCK, BLOCK) != b"b" * BLOCK, "the rival came later, and its effect is what remains"


def test_a_write_under_way_is_seen_by_the_comparison(rig: Rig) -> None:
    """What a mere look at a flag would miss: the write began before anybody wanted to be alone."""
    there, go_on = rig.holding("w")
    write = Started(lambda: rig.executor.try_inline(Write(0, b"w" * BLOCK)) or Result(Status.BUSY))
    assert there.wait(5)
    swap = Started(lambda: rig.executor.execute(CompareAndWrite(0, bytes(BLOCK), b"b" * BLOCK)))
    assert swap.is_held_up()
    go_on.set()
    assert write.ended().status is Status.GOOD
    assert fault(swap.ended()).code == (0xE, 0x1D, 0)
    assert rig.content(0, BLOCK) == b"w" * BLOCK


def test_who_would_have_to_wait_is_not_written_inline(rig: Rig) -> None:
    rig.hurry()
    there, go_on = rig.holding("w")
    swap = Started(lambda: rig.executor.execute(CompareAndWrite(0, bytes(1024), b"b" * 1024)))
    assert there.wait(5)
    assert rig.executor.try_inline(Write(BLOCK, bytes(BLOCK))) is None
    assert rig.executor.try_inline(Write(1024, bytes(BLOCK))) is not None, "it does not overlap"
    go_on.set()
    assert swap.ended().status is Status.GOOD


def test_a_verified_write_is_not_mistaken_for_a_broken_medium(rig: Rig) -> None:
    there, go_on = rig.holding("f")
    verified = Started(lambda: rig.executor.execute(WriteVerify(0, b"v" * BLOCK, compare=True)))
    assert there.wait(5)
    other = Started(lambda: rig.executor.execute(Write(0, b"w" * BLOCK)))
    assert other.is_held_up()
    go_on.set()
    assert verified.ended().status is Status.GOOD
    assert other.ended().status is Status.GOOD


def test_racing_threads_lose_no_update() -> None:
    """A counter by COMPARE AND WRITE, a bitmap by ORWRITE, a log by plain writes."""
    rig = Rig()
    rig.hurry()
    rig.device.hook = lambda _kind, _offset, _length: time.sleep(random.random() / 5000)
    rounds, threads = 30, 4

    def value(count: int) -> bytes:
        return count.to_bytes(BLOCK, "big")

    def count() -> None:
        for _ in range(rounds):
            swapped = False
            while not swapped:
                seen = bytes(rig.run(Read(0, BLOCK)).data_in)
                new = value(int.from_bytes(seen, "big") + 1)
                swapped = rig.executor.execute(CompareAndWrite(0, seen, new)).status is Status.GOOD

    def mark(number: int) -> None:
        for turn in range(rounds):
            rig.run(OrWrite(BLOCK, (1 << (number * rounds + turn)).to_bytes(BLOCK, "little")))

    def plain(number: int) -> None:
        for turn in range(rounds):
            data = bytes([number + 1]) * BLOCK
            inline = rig.executor.try_inline(Write((2 + number) * BLOCK, data))
            assert inline is not None or rig.run(Write((2 + number) * BLOCK, data))
            assert rig.content((2 + number) * BLOCK, BLOCK) == data, turn

    work = [Thread(target=count) for _ in range(threads)]
    work += [Thread(target=mark, args=(number,)) for number in range(threads)]
    work += [Thread(target=plain, args=(number,)) for number in range(2)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join(60)
    assert rig.content(0, BLOCK) == value(threads * rounds)
    assert rig.content(BLOCK, BLOCK) == ((1 << threads * rounds) - 1).to_bytes(BLOCK, "little")


def test_racing_writers_and_swappers_agree_on_an_order() -> None:
    """A plain write of a value that nobody swaps away stays: no order of commands explains its loss."""
    rig = Rig()
    rig.hurry()
    rig.device.hook = lambda _kind, _offset, _length: time.sleep(random.random() / 5000)
    low, final = b"l" * BLOCK, b"F" * BLOCK
    for turn in range(60):
        rig.run(Write(0, low))
        new = bytes([turn]) * BLOCK

        def swap(new: bytes = new) -> Result:
            return rig.executor.execute(CompareAndWrite(0, low, new))

        def write() -> Result:
            return rig.executor.try_inline(Write(0, final)) or rig.executor.execute(Write(0, final))

        both = [Started(swap), Started(write)]
        results = [each.ended() for each in both]
        assert results[1].status is Status.GOOD
        assert rig.content(0, BLOCK) == final, (
            f"turn {turn}: the write came before, and the swap did not see it"
        )


def test_failed_flushes_are_told(rig: Rig) -> None:
    rig.device.plan = "wE"
    assert fault(rig.executor.execute(Write(0, bytes(BLOCK), fua=True))).code == (3, 0x0C, 0)
    rig.device.plan = "rwE"
    found = rig.executor.execute(CompareAndWrite(0, bytes(BLOCK), bytes(BLOCK), fua=True))
    assert fault(found).code == (3, 0x0C, 0)
