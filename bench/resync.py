"""How fast an idle array copies, against ``dd`` with the same block size between two files.

    python -m bench.resync [--size 1G] [--rounds 5] [FOLDER ...]

A round copies by ``dd`` and by the array, in turn, from a source that no cache holds into a new sparse
file, and ends with everything on the medium.  Shown for each folder (default: /dev/shm and the present
one) are the medians, their ratio, and that of the CPU time (user and system) per byte, of each the round
that took least: the rate is what a machine gives in that minute, the CPU time what the way of copying costs.

What the array does is one of

* a rebuild: a new member is filled from the one in sync, with checksums and without;
* a first build of new, sparse files: nothing was written yet, so it is over at once;
* a first build over old contents, all of which differ, as on disks that were used before;
* a comparison: all chunks are marked after a crash, and both members are read, though nothing differs.
"""

import argparse
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from uuid import uuid4

from twinlock.block.file import FileDevice
from twinlock.block.mirror.create import create_array
from twinlock.block.mirror.member import MemberState, read_member
from twinlock.block.mirror.mirror import IDLE, Mirror
from twinlock.block.mirror.resync import PIECE
from twinlock.block.observer import SilentObserver
from twinlock.units import GIB, MIB, parse_size


@dataclass(frozen=True, slots=True)
class Cost:
    """What a copy took: MiB, seconds, and seconds of CPU time."""

    amount: float
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """MiB/s."""
        return self.amount / self.seconds

    @property
    def cpu_rate(self) -> float:
        """MiB for each second of CPU time."""
        return self.amount / max(self.cpu, 1e-6)


def main() -> None:
    """Measure, and print a line for each folder and kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", default=["/dev/shm", "."])
    parser.add_argument("--size", type=parse_size, default=GIB)
    parser.add_argument("--rounds", type=int, default=5)
    wanted = parser.parse_args()
    for folder in wanted.folders:
        for kind, act in KINDS.items():
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                rounds = _measure(Path(scratch), wanted.size, wanted.rounds, act)
            print(_line(folder, kind, rounds), flush=True)


def _line(folder: str, kind: str, rounds: list[tuple[Cost, Cost]]) -> str:
    theirs, ours = zip(*rounds, strict=True)
    dd, array = (median(cost.rate for cost in costs) for costs in (theirs, ours))
    dd_cpu, array_cpu = (max(cost.cpu_rate for cost in costs) for costs in (theirs, ours))
    return (
        f"{folder}, {kind}: dd {dd:.0f} MiB/s, array {array:.0f} MiB/s, ratio {array / dd:.2f};"
        f" by CPU time {array_cpu / dd_cpu:.2f}"
    )


def _measure(
    scratch: Path, size: int, rounds: int, act: Callable[[Path, Path], Cost]
) -> list[tuple[Cost, Cost]]:
    """What dd and the array took, each round; who begins alternates."""
    source, target = scratch / "a", scratch / "b"
    _create(source, target, size)
    dd = _dd_over if act is _first_build_over else _dd
    ways: list[Callable[[Path, Path], Cost]] = [dd, act]
    found = []
    for number in range(rounds):
        costs = {way: way(source, target) for way in ways[:: -1 if number % 2 else 1]}
        found.append((costs[dd], costs[act]))
    return found


# -- ways -----------------------------------------------------------------------------------------


def _dd(source: Path, target: Path, *, filled: bool = False) -> Cost:
    _prepare(source, target, filled=filled)
    command = ["dd", f"if={source}", f"of={target}", f"bs={PIECE}", "conv=notrunc,fdatasync", "status=none"]
    with _clock(source.stat().st_size, resource.RUSAGE_CHILDREN) as cost:
        subprocess.run(command, check=True)
    return cost()


def _dd_over(source: Path, target: Path) -> Cost:
    return _dd(source, target, filled=True)


def _rebuild(source: Path, target: Path, *, checksums: bool = True) -> Cost:
    _prepare(source, target)
    mirror = _assemble(source)
    mirror.add_member(FileDevice.open(target))
    if not checksums:
        _without_checksums(mirror)
    with _clock(mirror.size) as cost:
        while any(member.state is not MemberState.IN_SYNC for member in mirror._record.live()):
            mirror.step()
    mirror.close()
    return cost()


def _rebuild_without_checksums(source: Path, target: Path) -> Cost:
    return _rebuild(source, target, checksums=False)


def _first_build(source: Path, target: Path) -> Cost:
    _prepare(source, target)
    pair = [path.with_name(f"new-{path.name}") for path in (source, target)]
    _create_array(pair, source.stat().st_size, assume_clean=False)
    cost = _until_idle(_assemble(*pair))
    for path in pair:
        path.unlink()
    return cost


def _first_build_over(source: Path, target: Path) -> Cost:
    """The array is made anew of two files that are full, and have nothing in common."""
    _prepare(source, target, filled=True)
    _create_array([source, target], source.stat().st_size, assume_clean=False)
    for path in (source, target):
        _drop(path)
    return _until_idle(_assemble(source, target))


def _compare(source: Path, target: Path) -> Cost:
    """After a crash in which every chunk was marked, and nothing differs."""
    _rebuild(source, target)
    mirror = _assemble(source, target)
    for offset in range(0, mirror.size, mirror._record.bitmap.header.chunksize):
        mirror.write(offset, mirror.read(offset, 4096))
    mirror.flush()
    for member in mirror._record.members:
        member.device.close()
    for path in (source, target):
        _drop(path)
    return _until_idle(_assemble(source, target))


KINDS: dict[str, Callable[[Path, Path], Cost]] = {
    "rebuild": _rebuild,
    "rebuild without checksums": _rebuild_without_checksums,
    "first build, sparse": _first_build,
    "first build over old contents": _first_build_over,
    "comparison after a crash": _compare,
}


def _until_idle(mirror: Mirror) -> Cost:
    with _clock(mirror.size) as cost:
        while mirror.step() < IDLE:
            pass
    mirror.close()
    return cost()


# -- the rest -------------------------------------------------------------------------------------


@contextmanager
def _clock(size: int, whose: int = resource.RUSAGE_SELF) -> Iterator[Callable[[], Cost]]:
    """Measures its block; what it gives tells the cost, afterwards."""
    found: list[Cost] = []
    before, began = _cpu(whose), time.monotonic()
    yield lambda: found[0]
    found.append(Cost(size / MIB, time.monotonic() - began, _cpu(whose) - before))


def _cpu(whose: int) -> float:
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


def _create(source: Path, target: Path, size: int) -> None:
    """An array of two places that has lost one member, full of bytes that are not zeros."""
    _create_array([source, target], size, assume_clean=True)
    mirror = _assemble(source)
    block = os.urandom(MIB)
    for offset in range(0, mirror.size // MIB * MIB, MIB):
        mirror.write(offset, block)
    mirror.close()


def _create_array(paths: list[Path], size: int, *, assume_clean: bool) -> None:
    devices = [FileDevice.open(path, size=size) for path in paths]
    create_array(
        devices,
        array_uuid=uuid4().bytes,
        device_uuids=[uuid4().bytes for _ in devices],
        name="bench:bench",
        now=int(time.time()),
        assume_clean=assume_clean,
    )
    for device in devices:
        device.close()


def _assemble(*paths: Path) -> Mirror:
    members = [read_member(FileDevice.open(path)) for path in paths]
    return Mirror.assemble(members, expected_uuid=None, clock=time.time, observer=SilentObserver())


def _without_checksums(mirror: Mirror) -> None:
    for member in mirror._record.members:
        if member.checked is not None:
            member.data, member.checked = member.checked.lower, None


def _prepare(source: Path, target: Path, *, filled: bool = False) -> None:
    """Both start from the medium: a source that is in no cache, and a target that is new, or full."""
    target.unlink(missing_ok=True)
    size = source.stat().st_size
    with target.open("wb") as file:
        file.truncate(size)
        block = os.urandom(MIB)
        for _ in range(size // MIB if filled else 0):
            file.write(block)
    for path in (source, target):
        _drop(path)


def _drop(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
