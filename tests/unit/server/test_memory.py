"""New keys cost no more than half of the memory that is free, to the machine and to its control groups."""

from pathlib import Path

import pytest

from twinlock.server.memory import FLOOR, available_memory, new_key_cost
from twinlock.units import GIB, KIB, MIB


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


MACHINE = {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable:  4194304 kB\n"}
GROUP = {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n"}
OLD = {
    "proc/self/cgroup": "5:cpu:/x\n4:memory:/x\n",
    "sys/fs/cgroup/memory/x/memory.limit_in_bytes": str(100 * MIB),
    "sys/fs/cgroup/memory/x/memory.usage_in_bytes": str(30 * MIB),
}
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
    ],
)
def test_available_memory(tmp_path: Path, files: dict[str, str], expected: int | None) -> None:
    assert available_memory(write(tmp_path, files)) == expected


@pytest.mark.parametrize(
    ("available", "memory"),
    [(None, None), (4 * GIB, None), (2 * GIB, None), (GIB, GIB // 2), (100 * MIB, FLOOR), (0, FLOOR)],
)
def test_cost_of_a_new_key(available: int | None, memory: int | None) -> None:
    cost, told = new_key_cost(1500, available)
    assert (cost.milliseconds, cost.memory) == (1500, memory)
    assert (told is None) is (memory is None)
