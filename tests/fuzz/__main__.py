"""``python -m tests.fuzz``: the campaign of ``make fuzz``; with files, plays just those."""

import argparse
import importlib.util
import sys
import time
from pathlib import Path

from tests.fuzz import corpus_files
from tests.fuzz.campaign import Campaign, Job
from tests.fuzz.entries import ENTRIES, close_houses

_FINDINGS = Path("build/fuzz-findings")


def jobs(pdus: int, seed: int, *, guided: bool) -> list[Job]:
    """A campaign of at least ``pdus`` PDUs: most by the grammar, some through sockets, some as bytes."""
    return [
        Job("served", pdus * 3 // 100, seed, guided=False),
        Job("session", pdus * 48 // 100, seed, guided=guided),
        Job("session", pdus * 48 // 100, seed + 1, guided=False),
        Job("stream", pdus // 100, seed, guided=guided),
        Job("parser", pdus // 50, seed, guided=guided),
    ]


def _replay(files: list[Path], entry: str | None) -> int:
    for path in files:
        name = entry or path.parent.name
        tally = ENTRIES[name](corpus_files.read(path))
        print(f"{path}: {tally.pdus} PDUs, {tally.sessions} sessions")
    close_houses()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--pdus", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--unguided", action="store_true", help="without atheris")
    parser.add_argument("--findings", type=Path, default=_FINDINGS)
    parser.add_argument("--entry", choices=ENTRIES, help="of the files (default: the name of their folder)")
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args()
    if options.files:
        return _replay(options.files, options.entry)
    guided = not options.unguided
    if guided and importlib.util.find_spec("atheris") is None:
        sys.exit("atheris is not installed: use make fuzz, or --unguided")
    started = time.monotonic()
    campaign = Campaign(
        jobs(options.pdus, options.seed, guided=guided),
        processes=options.processes,
        findings=options.findings,
    )
    verdict = campaign.run()
    if not verdict.clean:
        print(f"inputs with findings are in {options.findings}")
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    print(verdict)
    return 0 if verdict.clean else 1


if __name__ == "__main__":
    sys.exit(main())
