"""Chooses the inputs to keep: few and short ones that together reach as many lines of the target as all do.

``python -m tests.fuzz.choose_corpus ENTRY COUNT [FILE...]`` tries seeds (and files, such as libFuzzer's
corpus), and writes at most COUNT of them to ``tests/fuzz/corpus/ENTRY``.  To be done anew when
the grammar has changed so much that the inputs mean something else.
"""

import argparse
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz import corpus_files
from tests.fuzz.choices import drawn
from tests.fuzz.entries import ENTRIES, close_houses

_TRIED = 400
_LONGEST = 700
Lines = frozenset[tuple[str, int]]


def lines_of(act: Callable[[], object]) -> Lines:
    """The lines of ``twinlock`` that run during ``act``, in any thread."""
    lines: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        if "/twinlock/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            lines.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    sys.settrace(trace)
    threading.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(None)
        threading.settrace(None)
    return frozenset(lines)


def choose(reached: dict[bytes, Lines], count: int) -> list[bytes]:
    """Greedily, by new lines; of equals the shortest."""
    chosen: list[bytes] = []
    known: set[tuple[str, int]] = set()
    while len(chosen) < count:
        best = max(reached, key=lambda data: (len(reached[data] - known), -len(data)))
        if reached[best] <= known:
            break
        chosen.append(best)
        known |= reached[best]
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.fuzz.choose_corpus", description=__doc__)
    parser.add_argument("entry", choices=ENTRIES)
    parser.add_argument("count", type=int)
    parser.add_argument("files", nargs="*", type=Path)
    options = parser.parse_args()
    play = ENTRIES[options.entry]
    inputs = [drawn(f"corpus {options.entry} {number}", _LONGEST) for number in range(_TRIED)]
    inputs += [path.read_bytes() for path in options.files]
    reached = {data: lines_of(lambda data=data: play(data)) for data in inputs}  # type: ignore[misc]
    close_houses()
    for data in choose(reached, options.count):
        corpus_files.write(corpus_files.FOLDER / options.entry, data, "chosen for the lines it reaches")
    print(f"{len(frozenset().union(*reached.values()))} lines reached")


if __name__ == "__main__":
    main()
