"""One process of a campaign: plays inputs until its quota is met, and writes down what it finds.

Guided by coverage it is libFuzzer's loop (atheris), which mutates the corpus and keeps what reaches
new code; unguided, inputs come from the seed alone.
"""

import argparse
import importlib
import itertools
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.fuzz import corpus_files
from tests.fuzz.board import Board, Counters
from tests.fuzz.choices import drawn

LONGEST = 1500
"""Bytes of an input."""
MOST_FINDINGS = 20
"""After which a worker gives up: it is broken, and knows."""
MOST_GROWTH = 96 << 20
"""Bytes that a worker's memory may grow from a tenth of its quota on; libFuzzer's corpus is among them."""
INSTRUMENTED = ["twinlock.iscsi", "twinlock.scsi", "twinlock.wire", "twinlock.server.execute"]


class Worker:
    """Plays inputs as ``entry`` says; ends the process once ``quota`` is met."""

    def __init__(self, options: argparse.Namespace, entry: Callable[[bytes], Any]) -> None:
        self._options = options
        self._entry = entry
        self._board = Board(options.board)
        self._counters = Counters()
        self._memory = 0
        self._parent = os.getppid()

    def play(self, data: bytes) -> None:
        counters = self._counters
        self._board.begin(counters, data)
        try:
            tally = self._entry(data)
        except Exception as error:
            self._found(data, error)
        else:
            counters.pdus += tally.pdus
            counters.sessions += tally.sessions
        counters.inputs += 1
        self._board.end(counters)
        self._measure()
        if os.getppid() != self._parent:  # nobody waits for the end any more
            self._finish()

    def _found(self, data: bytes, error: Exception) -> None:
        from tests.fuzz.oracle.rules import Leaked

        if isinstance(error, Leaked):
            self._counters.leaks += 1
        else:
            self._counters.crashes += 1
        trace = "".join(traceback.format_exception(error)[-8:])
        remark = f"{self._options.entry}: {type(error).__name__}: {error}\n{trace}"
        corpus_files.write(self._options.findings, data, remark)
        if self._counters.crashes + self._counters.leaks >= MOST_FINDINGS:
            self._finish()

    def _measure(self) -> None:
        done = self._counters.pdus or self._counters.inputs  # the parsers see no PDUs
        if not self._memory and done >= self._options.quota // 10:
            self._memory = _resident()
        if done >= self._options.quota:
            if _resident() - self._memory > MOST_GROWTH:
                self._counters.leaks += 1
                print(f"memory grew by {_resident() - self._memory} bytes", file=sys.stderr)
            self._finish()

    def _finish(self) -> None:
        self._board.end(self._counters)
        os._exit(0)  # libFuzzer's loop knows no other end


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _entry(name: str) -> Callable[[bytes], Any]:
    """An entry of the table, or ``module:function``."""
    module, _, function = name.partition(":")
    if function:
        found: Callable[[bytes], Any] = getattr(importlib.import_module(module), function)
        return found
    entries: dict[str, Callable[[bytes], Any]] = importlib.import_module("tests.fuzz.entries").ENTRIES
    return entries[module]


def _seeds(entry: str) -> list[bytes]:
    return [corpus_files.read(path) for path in corpus_files.kept() if path.parent.name == entry]


def _unguided(options: argparse.Namespace) -> None:
    worker = Worker(options, _entry(options.entry))
    for data in _seeds(options.entry):
        worker.play(data)
    for number in itertools.count():
        worker.play(drawn(f"{options.entry} {options.seed} {number}", LONGEST))


def _guided(options: argparse.Namespace) -> None:
    atheris = importlib.import_module("atheris")  # the tests do without

    with atheris.instrument_imports(include=INSTRUMENTED):
        entry = _entry(options.entry)
    folder = Path(options.corpus or tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    seeds = _seeds(options.entry) or [drawn(f"{options.entry} {number}") for number in range(50)]
    for number, data in enumerate(seeds):
        (folder / f"seed-{number}").write_bytes(data)
    flags = {
        "seed": options.seed,
        "max_len": LONGEST,
        "len_control": 0,
        "rss_limit_mb": 2048,
        "timeout": 100_000,  # the watchdog judges that
        "verbosity": 0,
        "artifact_prefix": f"{folder}/",
    }
    arguments = [sys.argv[0], *(f"-{name}={value}" for name, value in flags.items()), str(folder)]
    atheris.Setup(arguments, Worker(options, entry).play)
    atheris.Fuzz()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="tests.fuzz.worker", description=__doc__)
    parser.add_argument("--entry", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--quota", type=int, required=True, help="PDUs (inputs, where there are none)")
    parser.add_argument("--board", type=Path, required=True)
    parser.add_argument("--findings", type=Path, required=True)
    parser.add_argument("--guided", action="store_true")
    parser.add_argument("--corpus", type=Path, help="keep what libFuzzer finds worth keeping here")
    options = parser.parse_args(arguments)
    (_guided if options.guided else _unguided)(options)


if __name__ == "__main__":
    main()
