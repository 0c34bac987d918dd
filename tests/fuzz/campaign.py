"""A campaign: workers side by side, a watchdog over them, and one line at the end.

A worker that makes no progress for a while hangs: it is killed, its input is kept, and another
goes on with the rest of its quota.  So does one that dies.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz import corpus_files
from tests.fuzz.board import Board

HANG_SECONDS = 60.0
"""Without progress; the longest inputs take a second or two."""
_LOOK_SECONDS = 0.2
_LAST_WORDS = 4000
MOST_DEATHS = 5
"""Of one job's workers; then its rest is given up."""


@dataclass(frozen=True, slots=True)
class Job:
    """A part of a campaign: ``quota`` in PDUs (in inputs where there are none)."""

    entry: str
    quota: int
    seed: int
    guided: bool


@dataclass(slots=True)
class Verdict:
    """What came of it."""

    pdus: int = 0
    sessions: int = 0
    crashes: int = 0
    hangs: int = 0
    leaks: int = 0

    @property
    def clean(self) -> bool:
        return not (self.crashes or self.hangs or self.leaks)

    def __str__(self) -> str:
        return (
            f"fuzz: {self.pdus} PDUs, {self.sessions} sessions, "
            f"{self.crashes} crashes, {self.hangs} hangs, {self.leaks} leaks"
        )


@dataclass(slots=True)
class _Run:
    """A worker at its job."""

    job: Job
    process: subprocess.Popen[bytes]
    board: Board
    log: Path
    deaths: int = 0
    inputs: int = -1
    since: float = field(default_factory=time.monotonic)


class Campaign:
    """``findings`` is the folder for what is found."""

    def __init__(
        self, jobs: Sequence[Job], *, processes: int, findings: Path, hang: float = HANG_SECONDS
    ) -> None:
        self._jobs = list(jobs)
        self._processes = processes
        self._findings = findings
        self._hang = hang
        self._running: list[_Run] = []
        self.verdict = Verdict()

    def run(self) -> Verdict:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            boards = (Path(folder) / str(number) for number in range(1 << 30))
            try:
                while self._jobs or self._running:
                    while self._jobs and len(self._running) < self._processes:
                        self._start(self._jobs.pop(0), boards)
                    time.sleep(_LOOK_SECONDS)
                    for run in list(self._running):
                        self._look_at(run, boards)
            finally:
                for run in self._running:
                    run.process.kill()
                    run.process.wait()
        return self.verdict

    def _start(self, job: Job, boards: Iterator[Path], deaths: int = 0) -> None:
        path = next(boards)
        board = Board(path, create=True)
        command = [sys.executable, "-m", "tests.fuzz.worker", "--entry", job.entry, "--seed", str(job.seed)]
        command += ["--quota", str(job.quota), "--board", str(path), "--findings", str(self._findings)]
        command += ["--guided"] if job.guided else []
        log = path.with_suffix(".log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        self._running.append(_Run(job, process, board, log, deaths))

    def _look_at(self, run: _Run, boards: Iterator[Path]) -> None:
        code = run.process.poll()
        counters, _ = run.board.read()
        if code is None and counters.inputs != run.inputs:
            run.inputs, run.since = counters.inputs, time.monotonic()
        elif code is not None:
            self._over(run, boards, "" if code == 0 else f"the worker ended with status {code}")
        elif time.monotonic() - run.since > self._hang:
            run.process.kill()
            run.process.wait()
            self._over(run, boards, "the worker hung", hung=True)

    def _over(self, run: _Run, boards: Iterator[Path], why: str, *, hung: bool = False) -> None:
        """Take its counters; if it did not end well, keep its input and let another go on."""
        self._running.remove(run)
        counters, data = run.board.read()
        verdict = self.verdict
        verdict.pdus += counters.pdus
        verdict.sessions += counters.sessions
        verdict.leaks += counters.leaks
        verdict.crashes += counters.crashes + bool(why and not hung)
        verdict.hangs += hung
        if not why:
            return
        last_words = run.log.read_text(errors="replace")[-_LAST_WORDS:]
        corpus_files.write(self._findings, data, f"{run.job.entry}: {why}\n{last_words}")
        rest = run.job.quota - (counters.pdus or counters.inputs)
        if run.deaths + 1 < MOST_DEATHS and rest > 0:
            job = Job(run.job.entry, rest, run.job.seed + 1000, run.job.guided)
            self._start(job, boards, run.deaths + 1)
