"""What a worker takes of memory while it serves the largest volume that is promised: 4 TiB, with checksums.

Members are sparse files.  Deriving the key is left out: it takes what its keyslot says, for some seconds, and
the memory is given back.
"""

import json
import random
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.daemon import TARGET_PREFIX, Daemon

MIB, TIB = 1 << 20, 1 << 40
BLOCK = 512
PROMISED = 200 * MIB
"""Bytes of a worker, at the most."""
PLACES = 4000
"""Ranges all over the volume that are written and read; about one in each GiB."""
LENGTHS = (4096, 512, 65536, 4096, 262144)
EVERY = 8 << 30
MOST_UNMAPPED = 1 << 20
"""Blocks, as the block limits page says."""
SCRUB_SECONDS = 20.0


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Daemon]:
    """An unlocked volume of 4 TiB and more."""
    members = [str(tmp_path / f"disk{number}") for number in range(2)]
    with Daemon(tmp_path / "root") as daemon:
        options = ("--size", "4200G", "--passphrase-file", "-", "--iter-time", "0", "--chap", "none")
        daemon.cli("create", "backup", *members, *options, stdin=b"secret")
        yield daemon


@pytest.mark.long
def test_a_worker_of_4_tib_stays_small(served: Daemon) -> None:
    (worker,) = served.worker_pids()
    forget_peak(worker)
    with Client(served.port, TARGET_PREFIX + "backup") as client:
        blocks, _ = client.capacity()
        assert blocks * BLOCK >= 4 * TIB
        written = write_everywhere(client, blocks)
        served.cli("scrub", "backup", "--no-wait")
        read_everywhere(client, written)
        discard_everywhere(client, blocks)
        write_everywhere(client, blocks, seed=2)
        time.sleep(SCRUB_SECONDS)
        scrub = json.loads(served.cli("scrub", "backup", "--status", "--json").stdout)
        assert scrub["checked"] or scrub["done"], scrub
        client.flush()
    assert {member["checksums"] for member in served.members("backup")["found"]} == {"on"}
    peak = of(worker, "VmHWM")
    assert served.process is not None
    supervisor = of(served.process.pid, "VmHWM")
    print(f"worker {peak // MIB} MiB at the most, supervisor {supervisor // MIB} MiB")
    assert peak < PROMISED


# -- what is done ---------------------------------------------------------------------------------


def write_everywhere(client: Client, blocks: int, seed: int = 1) -> list[tuple[int, bytes]]:
    """Write at random over the whole range, and at both ends; what is where."""
    chance = random.Random(seed)
    places = [0, blocks - 1024, *(chance.randrange(blocks // 1024) * 1024 for _ in range(PLACES))]
    written = {}
    for number, place in enumerate(places):
        data = struct.pack(">QQ", seed, number) * (LENGTHS[number % len(LENGTHS)] // 16)
        client.write(place, data)
        written[place] = data
    return list(written.items())


def read_everywhere(client: Client, written: list[tuple[int, bytes]]) -> None:
    """In another order than it was written in."""
    random.Random(3).shuffle(written)
    for place, data in written:
        assert client.read(place, len(data) // BLOCK) == data


def discard_everywhere(client: Client, blocks: int) -> None:
    """A part of every 8 GiB; some of what was written goes."""
    for start in range(0, blocks - MOST_UNMAPPED, EVERY // BLOCK):
        unmap(client, start, MOST_UNMAPPED)


def unmap(client: Client, block: int, count: int) -> None:
    """UNMAP (SBC-3 section 5.28) with one descriptor."""
    parameters = struct.pack(">HHIQII", 22, 16, 0, block, count, 0)
    cdb = bytes([0x42, 0, 0, 0, 0, 0, 0]) + struct.pack(">H", len(parameters)) + b"\0"
    outcome = client.execute(cdb, write=parameters)
    assert outcome.status == 0, outcome


# -- what it takes --------------------------------------------------------------------------------


def forget_peak(pid: int) -> None:
    """VmHWM begins anew (proc_pid_clear_refs(5)): what opening the volume took is over."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def of(pid: int, field: str) -> int:
    """A field of ``/proc/PID/status``, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field + ":"))) * 1024
