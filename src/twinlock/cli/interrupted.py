"""Ctrl-C while the daemon, or a worker, changes disks."""

import contextlib
from collections.abc import Iterator

import typer
from rich.console import Console

from twinlock.cli.progress import INTERRUPTED


@contextlib.contextmanager
def goes_on(look: str) -> Iterator[None]:
    """Say that Ctrl-C ended the command alone: half a change would be worse than a whole one, or none.

    What has not begun to write does not begin; ``look`` is the command that shows what came of it.
    """
    try:
        yield
    except KeyboardInterrupt:
        console = Console(highlight=False, stderr=True)
        told = f"Interrupted. What has begun is carried out all the same; to see what came of it: {look}"
        console.print(told, markup=False, soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
