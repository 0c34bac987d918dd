"""New keys cost no more than half of the memory that is free, to the machine and to its control groups."""

import subprocess
import sys
from pathlib import Path

import pytest

from twinlock.errors import BadOption, MemoryShort
from twinlock.luks.device import Cost
from twinlock.server.key_tasks import LONGEST_ITER_TIME
from twinlock.server.memory import FLOOR, available_memory, new_key_cost
from twinlock.units import GIB, KIB, MIB


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


SWAP = {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:  4194304 kB\nSwapFree: 1048576 kB\n"}
MACHINE = {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:  4194304 kB\n"}
GROUP = {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n"}
OLD = {
    "proc/self/cgroup": "5:cpu:/x\n4:memory:/x\n",
    "sys/fs/cgroup/memory/x/memory.limit_in_bytes": str(100 * MIB),
    "sys/fs/cgroup/memory/x/memory.usage_in_bytes": str(30 * MIB),
}
HIGH = GROUP | {
    "sys/fs/cgroup/a/b/memory.high": str(300 * MIB),
    "sys/fs/cgroup/a/b/memory.current": str(100 * MIB),
    "sys/fs/cgroup/a/memory.max": str(GIB),
    "sys/fs/cgroup/a/memory.high": "max\n",
    "sys/fs/cgroup/a/memory.current": str(100 * MIB),
}
NO_SWAP = {"sys/fs/cgroup/a/b/memory.swap.max": "0\n", "sys/fs/cgroup/a/b/memory.swap.current": "0\n"}
AROUND = GROUP | {
    "sys/fs/cgroup/a/memory.max": str(GIB),
    "sys/fs/cgroup/a/memory.current": str(900 * MIB),
    "sys/fs/cgroup/a/memory.stat": f"anon 1\ninactive_file {MIB}\nactive_file {MIB}\n",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        (MACHINE, 4194304 * KIB),
        (MACHINE | GROUP, 4194304 * KIB),
        (MACHINE | AROUND, 126 * MIB),
        (MACHINE | OLD, 70 * MIB),
        (MACHINE | HIGH, 200 * MIB),
        (HIGH, 200 * MIB),
        (SWAP, 4194304 * KIB),
    ],
)
def test_available_memory(tmp_path: Path, files: dict[str, str], expected: int | None) -> None:
    assert available_memory(write(tmp_path, files)) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (MACHINE, 4 * GIB),
        (SWAP, 5 * GIB),
        (SWAP | HIGH, GIB + 200 * MIB),
        (SWAP | HIGH | NO_SWAP, 200 * MIB),
        (HIGH, 200 * MIB),
    ],
)
def test_what_can_be_swapped_out_makes_room_for_a_key_that_is_there(
    tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    """Where the control groups let it."""
    assert available_memory(write(tmp_path, files), swap=True) == expected


@pytest.mark.parametrize(
    ("available", "memory"),
    [(None, None), (4 * GIB, None), (2 * GIB, None), (GIB, GIB // 2), (100 * MIB, FLOOR)],
)
def test_cost_of_a_new_key(available: int | None, memory: int | None) -> None:
    cost, told = new_key_cost(1500, available)
    assert (cost.milliseconds, cost.memory) == (1500, memory)
    assert (told is None) is (memory is None)


def test_a_key_too_cheap_to_be_safe_is_not_made() -> None:
    with pytest.raises(MemoryShort, match=r"64\.0 MiB of memory, but only 79\.0 MiB are free"):
        new_key_cost(1500, 79 * MIB)
    assert new_key_cost(0, 0) == (Cost(0), None)


@pytest.mark.parametrize("milliseconds", [-1, LONGEST_ITER_TIME + 1, 1 << 40])
def test_no_key_takes_for_ever(milliseconds: int) -> None:
    with pytest.raises(BadOption, match="0 to 600000 milliseconds"):
        new_key_cost(milliseconds, None)
    assert new_key_cost(LONGEST_ITER_TIME, None) == (Cost(LONGEST_ITER_TIME), None)


LIMITED = """
import resource
from twinlock.server.memory import available_memory
resource.setrlimit(resource.RLIMIT_AS, (1 << 29,) * 2)
print(available_memory())
"""


def test_the_limits_of_the_process_count() -> None:
    ended = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True)
    assert 256 * MIB < int(ended.stdout) < 512 * MIB
