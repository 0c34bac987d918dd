"""libiscsi's conformance suite, ``iscsi-test-cu``: its tests by name, and what came of one.

The program's exit status says nothing, and it prints a skipped test as passed.  So the
CUnit summary is the judge of failures, and any ``[SKIPPED]`` of a test makes it a skip.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

PROGRAM = "iscsi-test-cu"
SECONDS = 120.0
"""For one test; the slowest takes a few seconds."""
FAMILY = "ALL"
"""The family that holds every test once."""

_PASSED = re.compile(r"^ +tests +1 +1 +1 +0 +0$", re.MULTILINE)
_SKIP = re.compile(r"\[SKIPPED\] *(?P<reason>.*)")


class Verdict(StrEnum):
    """What came of a test."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A verdict, with the reason of a skip or the output of a failure."""

    verdict: Verdict
    reason: str = ""


def names() -> list[str]:
    """Every test, as ``SUITE.TEST``, in the program's order."""
    listing = subprocess.run([PROGRAM, "--list"], check=True, capture_output=True, text=True).stdout
    parts = [line.split(".") for line in listing.splitlines()]
    return [".".join(each[1:]) for each in parts if len(each) == 3 and each[0] == FAMILY]


def run(name: str, urls: Sequence[str], environ: Mapping[str, str]) -> Outcome:
    """Run one test against a disk whose data may be lost; several ``urls`` are paths to the same disk."""
    command = [PROGRAM, "--dataloss", "--allow-sanitize", "-V", "-t", f"{FAMILY}.{name}", *urls]
    try:
        done = subprocess.run(
            command, env=environ, check=False, capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired as error:
        return Outcome(Verdict.FAILED, f"no end after {SECONDS} s: {error.stdout!r}")
    return judge(done.stdout + done.stderr)


def judge(output: str) -> Outcome:
    """What ``output`` says of the one test that was run."""
    if _PASSED.search(output) is None:
        return Outcome(Verdict.FAILED, output)
    skip = _SKIP.search(output)
    return Outcome(Verdict.SKIPPED, skip["reason"]) if skip else Outcome(Verdict.PASSED)
