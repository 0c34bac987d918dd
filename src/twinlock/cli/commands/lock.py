"""``twinlock lock``: close a volume in order."""

from typing import Annotated

import typer
from rich.console import Console

from twinlock.cli.client import ask, volume_path
from twinlock.daemon.models import VolumeReport


def run(name: Annotated[str, typer.Argument(metavar="NAME", help="The volume.")]) -> None:
    """Tell who is connected, flush, forget the key. Eject the disk on your machine first."""
    console = Console(highlight=False)
    with console.status("Closing the volume ..."):
        ask("POST", volume_path(name, "lock"), VolumeReport)
    console.print(f"Volume {name} is locked.")
