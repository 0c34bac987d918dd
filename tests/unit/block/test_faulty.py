import pytest

from twinlock.block.faulty import FaultyDevice
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
