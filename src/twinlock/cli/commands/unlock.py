"""``twinlock unlock``: open a volume and serve it."""

from typing import Annotated

import typer
from rich.console import Console

from twinlock.cli.client import ask, volume_path, wait_for_daemon
from twinlock.cli.passphrase import PassphraseFile, existing_passphrase
from twinlock.daemon.models import UnlockRequest, VolumeReport, VolumeState

START_SECONDS = 3.0
"""``twinlock serve &`` and ``twinlock unlock`` are typed one after the other."""


def run(
    name: Annotated[str, typer.Argument(help="The volume.")],
    passphrase_file: PassphraseFile = None,
) -> None:
    """Open a volume with its passphrase and serve it."""
    console = Console(highlight=False)
    wait_for_daemon(START_SECONDS)
    before = ask("GET", volume_path(name), VolumeReport)
    if before.state is VolumeState.UNLOCKED:
        console.print(f"Volume {name} is unlocked already.")
        return
    passphrase = existing_passphrase(passphrase_file) if before.encrypted else None
    with console.status("Deriving the key takes some seconds ..."):
        ask("POST", volume_path(name, "unlock"), VolumeReport, UnlockRequest(passphrase=passphrase))
    console.print(f"Volume {name} is unlocked and served as {before.target}", soft_wrap=True)
