"""What every block device does, whatever it is made of."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from tests.unit.block.factories import FACTORIES, Factory
from twinlock.block.device import BlockDevice
from twinlock.errors import DeviceGone


@pytest.fixture(params=FACTORIES, ids=lambda factory: factory.__name__)
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlockDevice]:
    factory: Factory = request.param
    made = factory(tmp_path)
    yield made
    made.close()


def pattern(seed: int, length: int) -> bytes:
    return bytes((seed * 37 + index // 16) % 256 for index in range(length))


def test_size_and_block_size_fit_together(device: BlockDevice) -> None:
    assert device.block_size in (512, 4096)
    assert device.size > 0
    assert device.size % device.block_size == 0


def test_what_was_written_is_read(device: BlockDevice) -> None:
    block = device.block_size
    device.write(3 * block, pattern(1, 5 * block))
    assert bytes(device.read(3 * block, 5 * block)) == pattern(1, 5 * block)
    assert bytes(device.read(4 * block, block)) == pattern(1, 5 * block)[block : 2 * block]


def test_neighbours_are_left_alone(device: BlockDevice) -> None:
    block = device.block_size
    before, after = bytes(device.read(0, block)), bytes(device.read(2 * block, block))
    device.write(block, pattern(2, block))
    assert bytes(device.read(0, block)) == before
    assert bytes(device.read(2 * block, block)) == after


def test_the_last_write_counts(device: BlockDevice) -> None:
    block = device.block_size
    device.write(0, pattern(1, 4 * block))
    device.write(block, pattern(2, block))
    device.flush()
    device.write(2 * block, pattern(3, block))
    expected = pattern(1, 4 * block)[:block] + pattern(2, block) + pattern(3, block)
    assert bytes(device.read(0, 3 * block)) == expected


def test_the_last_block_is_there(device: BlockDevice) -> None:
    where = device.size - device.block_size
    device.write(where, pattern(4, device.block_size))
    device.flush()
    assert bytes(device.read(where, device.block_size)) == pattern(4, device.block_size)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_can_be_written(device: BlockDevice, kind: type) -> None:
    device.write(0, kind(pattern(5, device.block_size)))
    assert bytes(device.read(0, device.block_size)) == pattern(5, device.block_size)


def test_a_durable_write_is_a_write(device: BlockDevice) -> None:
    block = device.block_size
    device.write(0, pattern(1, 2 * block))
    device.write_durable(0, pattern(6, block))
    assert bytes(device.read(0, 2 * block)) == pattern(6, block) + pattern(1, 2 * block)[block:]


def test_read_nowait_answers_the_same_or_nothing(device: BlockDevice) -> None:
    device.write(0, pattern(7, device.block_size))
    found = device.read_nowait(0, device.block_size)
    assert found is None or bytes(found) == pattern(7, device.block_size)


def test_the_medium_holds_what_was_flushed(device: BlockDevice) -> None:
    block = device.block_size
    device.write(3 * block, pattern(1, 5 * block))
    device.flush()
    assert bytes(device.read_medium(3 * block, 5 * block)) == pattern(1, 5 * block)
    assert bytes(device.read_medium(4 * block, block)) == pattern(1, 5 * block)[block : 2 * block]
    end = device.size - block
    device.write(end, pattern(2, block))
    device.flush()
    assert bytes(device.read_medium(end, block)) == pattern(2, block)
    assert bytes(device.read_medium(0, 0)) == b""


def test_advice_changes_nothing(device: BlockDevice) -> None:
    device.write(0, pattern(3, device.block_size))
    device.prefetch(0, device.size)
    assert bytes(device.read(0, device.block_size)) == pattern(3, device.block_size)


def allocation(device: BlockDevice, start: int, end: int) -> list[tuple[int, int, bool]]:
    """What takes up room, put together from as many answers as it takes."""
    found = []
    while start < end:
        length, mapped = device.allocation(start, end - start)
        assert 0 < length <= end - start
        found.append((start, length, mapped))
        start += length
    return found


def test_what_was_written_takes_up_room(device: BlockDevice) -> None:
    size = 16384
    device.discard(0, 4 * size)
    device.write(size, pattern(4, size))
    device.flush()
    written = range(size, 2 * size)
    for start, length, mapped in allocation(device, 0, 4 * size):
        assert mapped or start + length <= written.start or start >= written.stop
    assert device.allocation(0, 0)[0] == 0


def test_what_was_discarded_takes_up_none(device: BlockDevice) -> None:
    size = 16384
    device.write(0, pattern(5, 4 * size))
    device.flush()
    device.discard(size, size)
    device.flush()
    assert device.allocation(size, 2 * size) == (size, False)
    assert device.allocation(0, 2 * size) == (size, True)


def test_empty_ranges_do_nothing(device: BlockDevice) -> None:
    device.write(0, pattern(8, device.block_size))
    device.write(0, b"")
    device.discard(0, 0)
    assert bytes(device.read(0, 0)) == b""
    assert bytes(device.read(0, device.block_size)) == pattern(8, device.block_size)


def test_a_discard_spares_the_neighbours_and_can_be_overwritten(device: BlockDevice) -> None:
    size = 16384
    device.write(0, pattern(9, 3 * size))
    device.discard(size, size)
    assert bytes(device.read(0, size)) == pattern(9, 3 * size)[:size]
    assert bytes(device.read(2 * size, size)) == pattern(9, 3 * size)[2 * size :]
    device.write(size, pattern(1, size))
    assert bytes(device.read(size, size)) == pattern(1, size)


def test_where_holes_are_punched_they_read_as_zeros(device: BlockDevice) -> None:
    size = 16384
    device.write(0, pattern(9, size))
    device.discard(0, size)
    found = bytes(device.read(0, size))
    assert not device.punches_holes or found == bytes(size)


@pytest.mark.parametrize(
    ("offset", "length"), [(-4096, 4096), (0, -4096), (1, 4096), (0, 1), (1 << 60, 4096), (4096, 1 << 60)]
)
def test_a_range_outside_or_askew_is_a_bug(device: BlockDevice, offset: int, length: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        device.read(offset, length)
    with pytest.raises(ValueError, match="bytes"):
        device.read_nowait(offset, length)
    with pytest.raises(ValueError, match="bytes"):
        device.discard(offset, length)
    with pytest.raises(ValueError, match="bytes"):
        device.read_medium(offset, length)
    with pytest.raises(ValueError, match="bytes"):
        device.prefetch(offset, length)
    with pytest.raises(ValueError, match="bytes"):
        device.allocation(offset, length)
    with pytest.raises(ValueError, match="bytes"):
        device.write(device.size, bytes(device.block_size))
    with pytest.raises(ValueError, match="bytes"):
        device.write(0, b"x")


def test_threads_do_not_disturb_one_another(device: BlockDevice) -> None:
    length, rounds = 8 * device.block_size, 20

    def work(number: int) -> None:
        for turn in range(rounds):
            device.write(number * length, pattern(number + turn, length))
            device.flush()

    threads = [Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(4):
        assert bytes(device.read(number * length, length)) == pattern(number + rounds - 1, length)


def test_overlapping_writes_do_not_mix(device: BlockDevice) -> None:
    length = 16 * device.block_size

    def work(number: int) -> None:
        for _ in range(20):
            device.write(0, bytes([number]) * length)

    threads = [Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    blocks = {bytes(device.read(start, device.block_size)) for start in range(0, length, device.block_size)}
    assert all(len(set(block)) == 1 for block in blocks)


def test_closing_twice_is_fine_and_then_it_is_gone(
    request: pytest.FixtureRequest, device: BlockDevice
) -> None:
    device.close()
    device.close()
    if "section" not in request.node.callspec.id:
        with pytest.raises(DeviceGone):
            device.write(0, bytes(device.block_size))
