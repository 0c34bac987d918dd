"""Waiting for work in the background, with a bar on a terminal."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from twinlock.units import format_size

LOOK_SECONDS = 1.0
INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell has it: what would follow with && does not."""


class Work(Protocol):
    """What is known of a piece of work; bytes, bytes a second, seconds."""

    @property
    def kind(self) -> str:
        """What is done."""

    @property
    def done(self) -> int:
        """How much of it."""

    @property
    def total(self) -> int:
        """Of how much."""

    @property
    def rate(self) -> float | None:
        """How fast; None if that is not known yet."""

    @property
    def seconds_left(self) -> float | None:
        """How long it will take; None if that is not known."""


def watch(console: Console, look: Callable[[], Sequence[Work] | None], interrupted: str) -> bool:
    """Wait, looking once a second, until ``look`` returns None; bars show what it returns.

    Ctrl-C ends the waiting alone, and says ``interrupted``; False then.
    """
    bars: dict[str, TaskID] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"))
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            while (works := look()) is not None:
                for work in works:
                    _show(progress, bars, work)
                time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        console.print(interrupted, markup=False, soft_wrap=True)
        return False
    return True


def _show(progress: Progress, bars: dict[str, TaskID], work: Work) -> None:
    if work.kind not in bars:
        bars[work.kind] = progress.add_task(work.kind, total=None, told="")
    progress.update(bars[work.kind], total=max(work.total, 1), completed=work.done, told=told(work))


def told(work: Work) -> str:
    """How far, how fast, how long: ``1.0 GiB of 2.0 GiB (50 %), 80.0 MiB a second, 13 s left``."""
    parts = [
        f"{format_size(work.done)} of {format_size(work.total)} ({work.done * 100 // max(work.total, 1)} %)"
    ]
    if work.rate is not None:
        parts.append(f"{format_size(int(work.rate))} a second")
    if work.seconds_left is not None:
        parts.append(f"{duration(work.seconds_left)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """A time for people: ``2 h 5 min``."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
