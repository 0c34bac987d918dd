"""Power cuts in this process and kills of another: nothing flushed is lost, and nothing wrong is read."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.harness.life import live
from tests.faults.harness.oracle import Illegal
from tests.faults.harness.rig import Setup
from tests.faults.harness.switches import SWITCHES, setup_without, without
from twinlock.errors import DeviceError

ROOT = Path(__file__).parents[2]
LIVES = 17
"""Of six power cuts each: a hundred."""
ENOUGH = 200
"""Lives in which a mechanism is missed for certain, with the seeds that are tried."""
SETUPS = {
    "two members": Setup(),
    "no checksums": Setup(checksums=False),
    "three members, one that knows no discard": Setup(3, keepers=(1,)),
    "blocks of 4096": Setup(block_size=4096),
}


@pytest.mark.parametrize("seed", range(LIVES))
def test_nothing_flushed_is_lost_and_nothing_wrong_is_read(seed: int) -> None:
    setups = list(SETUPS.values())
    live(seed, setup=setups[seed] if seed < len(setups) else None)


def test_ten_processes_are_killed() -> None:
    """In a process of its own, for it forks."""
    command = [sys.executable, "-m", "tests.faults", "--cycles", "0", "--kills", "10", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.endswith("10 cycles, 0 lost, 0 wrong\n"), done.stdout + done.stderr


FAST = ("bitmap write", "resync", "checksum verify", "suspects")


@pytest.mark.parametrize(
    "mechanism", [pytest.param(name, marks=() if name in FAST else pytest.mark.long) for name in SWITCHES]
)
def test_a_mechanism_that_is_switched_off_is_missed(mechanism: str) -> None:
    setup = setup_without(mechanism)
    assert any(is_missed(mechanism, seed, setup) for seed in range(ENOUGH))


def is_missed(mechanism: str, seed: int, setup: Setup | None) -> bool:
    """True if a life goes wrong without the mechanism, and not with it."""
    with without(mechanism):
        wrong = goes_wrong(seed, setup)
    return wrong and not goes_wrong(seed, setup)


def goes_wrong(seed: int, setup: Setup | None) -> bool:
    """Live it."""
    try:
        live(seed, setup=setup)
    except (Illegal, DeviceError, AssertionError):
        return True
    return False
