"""``python -m tests.faults``: crashes, with a seed that repeats them; the last line is the verdict."""

import argparse
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence

from tests.faults.harness.campaign import Task, Verdict, is_right, judge_all, tasks
from tests.faults.harness.points import POINTS
from tests.faults.harness.switches import SWITCHES

ENOUGH = 1800
"""Cycles after which a missing mechanism was surely noticed."""
LONG = 5000
"""A campaign of so many cycles meets every named point."""
TOLD = 5
"""Stories that are printed whole; of the others only the line that repeats them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """0 if nothing was lost, and nothing wrong, and no point was missed."""
    given = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # with all that was started
    seed = given.seed or str(time.time_ns())
    if given.without == "each":
        return _each(seed, given.jobs)
    if given.life is not None:
        count = given.kills or given.cycles
        return _report(_run([Task(given.life, bool(given.kills), given.without, count)], 1))
    print(f"seed {seed}", flush=True)
    verdict = _run(tasks(seed, given.cycles, given.kills, given.without), given.jobs)
    _print_points(verdict.points)
    for name, count in sorted(verdict.refusals.items()):
        print(f"{count:6} refusals {name}")
    return _report(verdict, every_point=given.cycles >= LONG and given.without is None)


def _run(lives: Iterable[Task], jobs: int) -> Verdict:
    """Print a line now and then."""
    total, printed = Verdict(), time.monotonic()
    for verdict in judge_all(lives, jobs):
        total.add(verdict)
        if time.monotonic() - printed > 30:
            printed = time.monotonic()
            print(f"... {total}", flush=True)
    return total


def _print_points(points: Counter[str]) -> None:
    print("power failed at these points")
    for name in POINTS:
        print(f"{points[name]:6} times {name}")


def _report(verdict: Verdict, *, every_point: bool = False) -> int:
    """The stories, every failing life, and the verdict last; the exit code."""
    missed = verdict.never_hit() if every_point else []
    print("".join(verdict.told[:TOLD]), end="")
    for task in verdict.failed:
        print(f"failed: {task.replay}")
    for name in missed:
        print(f"never hit: {name}")
    print(verdict)
    return int(bool(verdict.lost or verdict.wrong or missed))


def _each(seed: str, jobs: int) -> int:
    """Switch the mechanisms off one after the other; 0 if every one of them was missed."""
    unnoticed = 0
    print(f"seed {seed}\n{'cycles':>6}  noticed without")
    for name in SWITCHES:
        cycles = _until_noticed(tasks(seed, ENOUGH, 0, name), jobs)
        unnoticed += cycles is None
        print(f"{cycles or 'NEVER':>6}  {name}", flush=True)
    return int(bool(unnoticed))


def _until_noticed(lives: Iterable[Task], jobs: int) -> int | None:
    """How many cycles it took; None if all of them were not enough.  What is wrong anyhow does not count."""
    total = Verdict()
    for verdict in judge_all(lives, jobs):
        total.add(verdict)
        if any(is_right(task) for task in verdict.failed):
            return total.cycles
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--cycles", type=int, default=10_000, help="power cuts in this process")
    parser.add_argument("--kills", type=int, default=300, help="processes killed with kill -9")
    parser.add_argument("--seed", default="", help="repeat what was printed")
    parser.add_argument("--life", help="repeat one array's life, of so many kills, or else cycles")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--without", choices=[*SWITCHES, "each"], help="switch a mechanism off")
    return parser


if __name__ == "__main__":
    sys.exit(main())
