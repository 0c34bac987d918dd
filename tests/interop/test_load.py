"""QEMU under load: hundreds of requests at once, verified as they go, and again after lock and unlock."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.interop.matrix import Cell, Digests, Login, Volumes
from tests.support import qemu
from tests.support.daemon import TARGET_PREFIX
from tests.support.qemu import IscsiDisk
from tests.support.workload import Workload

MIB = 1 << 20
ROUNDS = 3
LOADS = 3
"""Processes at once."""


@pytest.mark.parametrize("digests", [Digests.NONE, Digests.BOTH], ids=lambda each: each.name.lower())
@pytest.mark.parametrize("block_size", [512, 4096])
def test_a_load_is_verified_and_survives_the_lock(
    volumes: Volumes, block_size: int, digests: Digests, tmp_path: Path
) -> None:
    cell = Cell(block_size, Login.CHAP, digests)
    with volumes.attach(cell) as attached:
        load = Workload(block_size + digests.header, 8 * MIB, block_size, offset=block_size * 3)
        qemu.exercise(attached.disk(), [*load.fill(), *_rounds(load), *load.verify()])
        volumes.reopen(cell.volume)
        qemu.exercise(attached.disk(), load.verify())
        qemu.download(attached.disk(), tmp_path / "image")
    assert load.differences(tmp_path / "image") == []


def test_while_one_initiator_is_under_load_another_is_turned_away(volumes: Volumes) -> None:
    with volumes.attach(Cell(512, Login.CHAP, Digests.NONE)) as attached:
        load = Workload(1, 8 * MIB, 512)
        commands = [*load.fill(), *_rounds(load), *load.verify()]
        with subprocess.Popen(
            qemu.qemu_io(attached.disk(), commands), stdout=subprocess.PIPE, text=True
        ) as holder:
            assert attached.relay.logged_in.wait(30)
            intruder = ("iscsi-inq", "-i", "iqn.2026-11.example:intruder", attached.url)
            done = subprocess.run(
                intruder, env=attached.environ(), check=False, capture_output=True, timeout=60
            )
            assert holder.poll() is None, "the load was over before the other one came"
            assert done.returncode
            said, _ = holder.communicate(timeout=60)
        assert (holder.returncode, said) == (0, "")


@pytest.mark.parametrize("block_size", [512, 4096])
def test_initiators_share_a_disk_under_load(volumes: Volumes, block_size: int, tmp_path: Path) -> None:
    """Each has a part of its own; the parts touch."""
    name = f"shared-{block_size}"
    volumes.create(name, "--shared", "--chap", "none", "--block-size", str(block_size))
    disks = [_shared(volumes, name, number) for number in range(LOADS)]
    size = 3 * MIB + block_size
    loads = [Workload(seed, size, block_size, offset=seed * size) for seed in range(LOADS)]
    commands = [[*load.fill(), *_rounds(load), *load.verify()] for load in loads]
    _all_at_once(disks, commands)
    volumes.reopen(name)
    for turn in range(LOADS):  # and each reads what another one wrote
        qemu.exercise(disks[turn], loads[turn - 1].verify())
    qemu.download(disks[0], tmp_path / "image")
    assert [load.differences(tmp_path / "image") for load in loads] == [[]] * LOADS


def _rounds(load: Workload) -> list[str]:
    return [command for _ in range(ROUNDS) for command in load.round()]


def _shared(volumes: Volumes, name: str, number: int) -> IscsiDisk:
    portal = ("127.0.0.1", volumes.daemon.port)
    return IscsiDisk(portal, TARGET_PREFIX + name, initiator=f"iqn.2026-11.example:node-{number}")


def _all_at_once(disks: Sequence[IscsiDisk], commands: Sequence[Sequence[str]]) -> None:
    running = [
        subprocess.Popen(qemu.qemu_io(*each), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for each in zip(disks, commands, strict=True)
    ]
    ended = [(process.communicate(timeout=120)[0], process.returncode) for process in running]
    assert ended == [("", 0)] * len(running)
