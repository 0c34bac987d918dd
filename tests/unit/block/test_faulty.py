from random import Random

import pytest

from twinlock.block.faulty import FaultyDevice, Rates
from twinlock.block.memory import MemoryDevice
from twinlock.errors import DeviceError, DeviceGone, MediumError, SpaceExhausted, WriteFailed
from twinlock.units import MIB

A, B, C = (bytes([letter]) * 512 for letter in b"abc")


def device(plan: str = "") -> FaultyDevice:
    return FaultyDevice(MemoryDevice(MIB), plan)


def test_a_map_of_operations_that_work_and_fail() -> None:
    faulty = device("rrwE")
    faulty.read(0, 512)
    faulty.read(0, 512)
    faulty.write(0, A)
    with pytest.raises(MediumError) as caught:
        faulty.read(1024, 512)
    assert caught.value.offset == 1024
    assert bytes(faulty.read(0, 512)) == A


@pytest.mark.parametrize(
    ("letter", "operation", "error"),
    [
        ("E", "read", MediumError),
        ("E", "write", WriteFailed),
        ("E", "flush", WriteFailed),
        ("E", "discard", WriteFailed),
        ("S", "write", SpaceExhausted),
        ("G", "read", DeviceGone),
    ],
)
def test_each_kind_fails_in_its_own_way(letter: str, operation: str, error: type[DeviceError]) -> None:
    arguments = {"read": (0, 512), "write": (0, A), "flush": (), "discard": (0, 512)}
    faulty = device(letter)
    with pytest.raises(error):
        getattr(faulty, operation)(*arguments[operation])


def test_gone_is_gone_for_ever() -> None:
    faulty = device("G")
    for _ in range(2):
        with pytest.raises(DeviceGone):
            faulty.flush()


def test_a_wrong_map_is_an_error_of_the_test() -> None:
    with pytest.raises(AssertionError, match="expects 'w'"):
        device("w").read(0, 512)


def test_bad_blocks_can_be_rewritten_but_not_those_that_refuse() -> None:
    faulty = device()
    faulty.break_reads(512, 512)
    with pytest.raises(MediumError) as caught:
        faulty.read(0, 2048)
    assert caught.value.offset == 512
    faulty.write(512, A)
    assert bytes(faulty.read(512, 512)) == A
    faulty.break_writes(512, 512)
    with pytest.raises(WriteFailed):
        faulty.write_durable(0, A + B)


def test_the_hook_sees_every_operation_first() -> None:
    seen: list[tuple[str, int, int]] = []
    faulty = device()
    faulty.hook = lambda kind, offset, length: seen.append((kind, offset, length))
    faulty.write(512, A)
    faulty.flush()
    assert seen == faulty.operations == [("w", 512, 512), ("f", 0, 0)]


@pytest.mark.parametrize(
    ("survivors", "left"), [(set(), [A, A]), ({0}, [B, A]), ({1}, [C, A]), ({0, 1, 2}, [C, B]), ({2}, [A, B])]
)
def test_a_power_cut_loses_any_of_the_unflushed_writes(survivors: set[int], left: list[bytes]) -> None:
    faulty = device()
    faulty.write(0, A + A)
    faulty.flush()
    faulty.write(0, B)
    faulty.write(0, C)
    faulty.write(512, B)
    assert faulty.unflushed == 3
    medium = faulty.power_cut(survivors.__contains__)
    assert [bytes(medium.read(0, 512)), bytes(medium.read(512, 512))] == left
    with pytest.raises(DeviceGone):
        faulty.read(0, 512)


def test_a_durable_write_survives_and_older_ones_do_not_come_back() -> None:
    faulty = device()
    faulty.write(0, A + A)
    faulty.write_durable(0, B)
    assert bytes(faulty.read(0, 1024)) == B + A
    medium = faulty.power_cut(lambda _index: True)
    assert bytes(medium.read(0, 1024)) == B + A


def test_a_torn_write_fails_and_leaves_every_other_sector() -> None:
    faulty = device("wT")
    faulty.write(0, A * 4)
    with pytest.raises(WriteFailed):
        faulty.write(0, B * 4)
    assert bytes(faulty.read(0, 2048)) == B + A + B + A


@pytest.mark.parametrize("durable", [False, True])
def test_a_lie_about_a_flush_keeps_nothing(durable: bool) -> None:
    faulty = device("L" if durable else "wL")
    if durable:
        faulty.write_durable(0, A)
    else:
        faulty.write(0, A)
        faulty.flush()
    assert bytes(faulty.read(0, 512)) == A
    assert bytes(faulty.power_cut(lambda _index: False).read(0, 512)) == bytes(512)


def test_a_delay_is_a_call() -> None:
    waited: list[None] = []
    faulty = FaultyDevice(MemoryDevice(MIB), "rDr", wait=lambda: waited.append(None))
    for _ in range(3):
        faulty.read(0, 512)
    assert waited == [None]


def test_rates_repeat_with_their_seed() -> None:
    def failures(seed: int) -> list[int]:
        faulty = FaultyDevice(
            MemoryDevice(MIB), rates=Rates(Random(seed).random, {"r": {"E": 0.1, "D": 0.1}})
        )
        found = []
        for index in range(200):
            try:
                faulty.read(0, 512)
            except MediumError:
                found.append(index)
        return found

    assert failures(1) == failures(1) != failures(2)
    assert 5 < len(failures(1)) < 40


def test_power_cuts_tear_what_is_in_blocks_of_4096_and_what_is_under_way() -> None:
    def cut(kind: str, _offset: int, _length: int) -> None:
        if cutting and kind == "w":
            raise KeyboardInterrupt

    cutting = False
    faulty = FaultyDevice(MemoryDevice(MIB, 4096), hook=cut)
    faulty.write(0, A * 8)
    cutting = True
    with pytest.raises(KeyboardInterrupt):
        faulty.write_durable(4096, B * 8)
    medium = faulty.power_cut(lambda index: index % 2 == 0, torn=True)
    assert bytes(medium.read(0, 8192)) == (A + bytes(512)) * 4 + (B + bytes(512)) * 4


def test_a_discard_is_as_volatile_as_a_write() -> None:
    faulty = device()
    faulty.write(0, A)
    faulty.flush()
    faulty.discard(0, 512)
    assert bytes(faulty.read(0, 512)) == bytes(512)
    assert faulty.allocation(0, 512) == (512, False)
    assert bytes(faulty.power_cut(lambda _index: False).read(0, 512)) == A
