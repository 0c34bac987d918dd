"""Checksums on block devices, of both sizes of sectors."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from tests.unit.block.arrays import BLOCK, UUID, Clock, Notes, make
from twinlock.block.file import FileDevice
from twinlock.block.mirror.layout import member_layout
from twinlock.block.mirror.member import read_member
from twinlock.block.mirror.mirror import IDLE, Mirror
from twinlock.units import MIB

SIZE = 32 * MIB
PLACE = member_layout(SIZE)

Loop = Callable[[str, int], Path]


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    made: list[str] = []

    def attach(name: str, sector: int) -> Path:
        backing = tmp_path / name
        backing.touch()
        os.truncate(backing, SIZE)
        command = ["losetup", "--find", "--show", "--sector-size", str(sector), str(backing)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        made.append(done.stdout.strip())
        return Path(made[-1])

    yield attach
    for device in made:
        subprocess.run(["losetup", "--detach", device], check=True)


def start(paths: list[Path], notes: Notes) -> Mirror:
    members = [read_member(FileDevice.open(path)) for path in paths]
    return Mirror.assemble(members, expected_uuid=UUID, clock=Clock(), observer=notes)


def flip(path: Path, offset: int) -> None:
    with path.open("r+b", buffering=0) as file:
        file.seek(offset // BLOCK * BLOCK)
        block = bytearray(file.read(BLOCK))
        block[offset % BLOCK] ^= 8
        file.seek(offset // BLOCK * BLOCK)
        file.write(block)
        os.fsync(file)


@pytest.mark.parametrize("sector", [512, 4096])
def test_what_rots_on_a_disk_is_put_right_on_the_medium(loop: Loop, sector: int) -> None:
    notes, content = Notes(), Random(sector).randbytes(2 * MIB)
    paths = [loop("left", sector), loop("right", sector)]
    devices = [FileDevice.open(path) for path in paths]
    assert [device.block_size for device in devices] == [sector] * 2
    make(devices)
    for device in devices:
        device.close()
    mirror = start(paths, notes)
    mirror.write(0, content)
    mirror.write(MIB + sector, b"n" * sector)  # with sectors of 512, a part of a block
    expected = content[: MIB + sector] + b"n" * sector + content[MIB + 2 * sector :]
    mirror.discard(4 * MIB, MIB)
    mirror.close()
    flip(paths[0], PLACE.data_offset + 5 * BLOCK + 77)
    flip(paths[0], PLACE.table_offset + 9 * 4)
    flip(paths[1], PLACE.data_offset + 300 * BLOCK)
    mirror = start(paths, notes)
    assert bytes(mirror.read_medium(0, len(content))) == expected
    assert sorted(notes.wrong) == [(0, 5 * BLOCK, BLOCK), (0, 9 * BLOCK, BLOCK), (1, 300 * BLOCK, BLOCK)]
    while mirror.step() < IDLE:
        pass
    mirror.close()
    for path in paths:
        device = FileDevice.open(path)
        assert bytes(device.read_medium(PLACE.data_offset, len(content))) == expected
        device.close()
    mirror = start(paths[:1], again := Notes())
    assert bytes(mirror.read_medium(0, len(content))) == expected
    assert again.wrong == []
    mirror.close()
