"""``twinlock unlock``: open a volume and serve it."""

from typing import Annotated

import typer
from rich.console import Console

from twinlock.cli.client import ask, volume_path, wait_for_daemon
from twinlock.cli.key_file import KeyFile, KeyFileOffset, KeyFileSize, existing_secret
from twinlock.cli.passphrase import PassphraseFile
from twinlock.daemon.models import UnlockRequest, VolumeReport, VolumeState

START_SECONDS = 3.0
"""``twinlock serve &`` and ``twinlock unlock`` are typed one after the other."""


def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The volume.")],
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    keyfile_offset: KeyFileOffset = None,
    keyfile_size: KeyFileSize = None,
) -> None:
    """Open a volume with its passphrase or a key file, and serve it."""
    console = Console(highlight=False)
    wait_for_daemon(START_SECONDS)
    before = ask("GET", volume_path(name), VolumeReport)
    if before.state is VolumeState.UNLOCKED:
        console.print(f"Volume {name} is unlocked already.")
        return
    secret = (passphrase_file, key_file, keyfile_offset, keyfile_size)
    passphrase = existing_secret(*secret) if before.encrypted else None
    with console.status("Deriving the key takes some seconds ..."):
        ask("POST", volume_path(name, "unlock"), VolumeReport, UnlockRequest(passphrase=passphrase))
    console.print(f"Volume {name} is unlocked and served as {before.target}", soft_wrap=True)
