"""What checksums cost: CPU time of a command through the mirror of two members, with them and without.

    python -m bench.checksums [--count 20000] [FOLDER]

Reads are answered from the page cache, writes go into it, so that the medium has no part in it
(default folder: /dev/shm).  The median of five rounds is shown.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from uuid import uuid4

from twinlock.block.file import FileDevice
from twinlock.block.mirror.create import create_array
from twinlock.block.mirror.member import read_member
from twinlock.block.mirror.mirror import Mirror
from twinlock.block.observer import SilentObserver
from twinlock.units import KIB, MIB

SIZE = 256 * MIB
ROUNDS = 5


def main() -> None:
    """Measure, and print a line for each size and direction."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", default="/dev/shm")
    parser.add_argument("--count", type=int, default=20_000, help="commands of 4 KiB in a round")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=wanted.folder) as scratch:
        arrays = {kind: _array(Path(scratch), kind) for kind in (True, False)}
        for length, count in ((4 * KIB, wanted.count), (256 * KIB, max(1, wanted.count // 20))):
            for name, act in (("read", _read), ("write", _write)):
                cost = {kind: _cost(mirror, act, length, count) for kind, mirror in arrays.items()}
                print(
                    f"{length // KIB:3} KiB {name:5}  {cost[True]:7.1f} us with, {cost[False]:7.1f} without"
                    f", {cost[True] - cost[False]:+.1f}"
                )
        for mirror in arrays.values():
            mirror.close()


def _array(folder: Path, checksums: bool) -> Mirror:
    devices = [FileDevice.open(folder / f"{checksums}{number}", size=SIZE) for number in (0, 1)]
    create_array(
        devices,
        array_uuid=uuid4().bytes,
        device_uuids=[uuid4().bytes, uuid4().bytes],
        name="bench:bench",
        now=int(time.time()),
        assume_clean=True,
    )
    members = [read_member(device) for device in devices]
    mirror = Mirror.assemble(members, expected_uuid=None, clock=time.time, observer=SilentObserver())
    for member in mirror._record.members if not checksums else ():
        if member.checked is not None:
            member.data, member.checked = member.checked.lower, None
    block = os.urandom(MIB)
    for offset in range(0, mirror.size // MIB * MIB, MIB):
        mirror.write(offset, block)
    return mirror


def _cost(mirror: Mirror, act: Callable[[Mirror, int, bytes], None], length: int, count: int) -> float:
    """Microseconds of CPU time for one command."""
    data = os.urandom(length)
    chosen = random.Random(1)
    places = [chosen.randrange(mirror.size // length) * length for _ in range(count)]
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for place in places:
            act(mirror, place, data)
        rounds.append((time.process_time() - began) / count * 1e6)
    return median(rounds)


def _read(mirror: Mirror, place: int, data: bytes) -> None:
    mirror.read(place, len(data))


def _write(mirror: Mirror, place: int, data: bytes) -> None:
    mirror.write(place, data)


if __name__ == "__main__":
    main()
