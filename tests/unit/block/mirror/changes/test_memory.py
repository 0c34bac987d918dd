"""Memory of a process that runs a large array: what is kept in memory does not grow with the volume."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT = 200 << 20

RUN = """
import json, random, sys, time
from pathlib import Path
from twinlock.block.file import FileDevice
from twinlock.block.mirror.create import create_array
from twinlock.block.mirror.member import read_member
from twinlock.block.mirror.mirror import IDLE, Mirror
from twinlock.block.observer import SilentObserver
from twinlock.server import worker  # all that a worker loads
from twinlock.units import GIB, MIB, TIB

FileDevice.allocate = lambda *_: None  # gigabytes for checksums, which stay holes here
folder, size = Path(sys.argv[1]), 4 * TIB
devices = [FileDevice.open(folder / name, size=size) for name in ("left", "right")]
create_array(devices, array_uuid=b"u" * 16, device_uuids=[b"L" * 16, b"R" * 16], name="h:n", now=1,
             assume_clean=True)
now = [1.79e9]
mirror = Mirror.assemble([read_member(device) for device in devices], expected_uuid=None,
                         clock=lambda: now[0], observer=SilentObserver())
chosen = random.Random(4)
blocks = [chosen.randrange(mirror.size // 4096) for _ in range(1500)]
for number, block in enumerate(blocks):
    mirror.write(block * 4096, number.to_bytes(8, "little") * 512)
    if number % 500 == 0:
        mirror.flush()
    now[0] += 0.1
    mirror.step()
last = {block: number for number, block in enumerate(blocks)}
for block, number in last.items():
    assert bytes(mirror.read(block * 4096, 4096)[:8]) == number.to_bytes(8, "little")
mirror.start_scrub()
for _ in range(300):
    now[0] += 1
    mirror.step()
status = mirror.scrub_status.progress
found = [m.checksums for m in mirror.status().members]
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
mirror.close()
print(json.dumps([int(peak) * 1024, status.done, found]))
"""


@pytest.mark.long
def test_four_terabytes_in_two_hundred_megabytes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    peak, scrubbed, checksums = json.loads(done.stdout)
    assert checksums == ["on", "on"]
    assert scrubbed > 0
    assert peak < LIMIT, f"{peak >> 20} MiB"
