"""``python -m tests.faults``: crashes, with a seed that repeats them; the last line is the verdict."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence

from tests.faults.harness.campaign import Verdict, judge_all, tasks
from tests.faults.harness.switches import SWITCHES

ENOUGH = 200
"""Cycles after which a missing mechanism was surely noticed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if nothing was lost, and nothing wrong."""
    given = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # with all that was started
    seed = given.seed or str(time.time_ns())
    if given.without == "each":
        return _each(seed, given.jobs)
    print(f"seed {seed}", flush=True)
    verdict = _run(seed, given.cycles, given.kills, given.jobs, given.without)
    for name, count in sorted(verdict.points.items()):
        print(f"{count:6} times {name}")
    print("".join(verdict.told[:5]), end="")
    print(verdict)
    return int(bool(verdict.lost or verdict.wrong))


def _run(seed: str, cycles: int, kills: int, jobs: int, off: str | None) -> Verdict:
    """Print a line now and then."""
    total, printed = Verdict(), time.monotonic()
    for verdict in judge_all(tasks(seed, cycles, kills, off), jobs):
        total.add(verdict)
        if time.monotonic() - printed > 30:
            printed = time.monotonic()
            print(f"... {total}", flush=True)
    return total


def _each(seed: str, jobs: int) -> int:
    """Switch the mechanisms off one after the other; 0 if every one of them was missed."""
    unnoticed = 0
    for name in SWITCHES:
        verdict = _run(seed, ENOUGH, 0, jobs, name)
        noticed = verdict.lost + verdict.wrong
        unnoticed += not noticed
        print(f"without {name}: {verdict}" + ("" if noticed else ": NOT NOTICED"), flush=True)
    return int(bool(unnoticed))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--cycles", type=int, default=10_000, help="power cuts in this process")
    parser.add_argument("--kills", type=int, default=300, help="processes killed with kill -9")
    parser.add_argument("--seed", default="", help="repeat what was printed")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--without", choices=[*SWITCHES, "each"], help="switch a mechanism off")
    return parser


if __name__ == "__main__":
    sys.exit(main())
