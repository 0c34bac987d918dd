"""``twinlock set``: change how a volume is served."""

from typing import Annotated

import typer
from rich.console import Console

from twinlock.cli import words
from twinlock.cli.client import ask, volume_path
from twinlock.cli.options import (
    ChapOption,
    DiscardOption,
    InitiatorOption,
    NetworkOption,
    ReadOnlyOption,
    SharedOption,
    chap_mode,
    yes_or_no,
)
from twinlock.daemon.models import SettingsReply, SettingsRequest
from twinlock.errors import BadOption


def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The volume.")],
    shared: SharedOption = None,
    read_only: ReadOnlyOption = None,
    discard: DiscardOption = None,
    initiator: InitiatorOption = None,
    any_initiator: Annotated[
        bool, typer.Option("--any-initiator", help="Let in initiators of any name.")
    ] = False,
    network: NetworkOption = None,
    any_network: Annotated[
        bool, typer.Option("--any-network", help="Let in initiators from any network.")
    ] = False,
    chap: ChapOption = None,
    new_secrets: Annotated[bool, typer.Option("--new-secrets", help="Make new CHAP secrets.")] = False,
    resync_minimum: Annotated[
        str | None,
        typer.Option(metavar="RATE", help="What copying in the background gets at least, a second: 10M."),
    ] = None,
    resync_maximum: Annotated[
        str | None, typer.Option(metavar="RATE", help="What it takes at most: 100M, or unlimited.")
    ] = None,
) -> None:
    """Change how a volume is served, from its next unlock on. Without options: show how.

    Lists take the place of those before.
    """
    request = SettingsRequest(
        chap=chap_mode(chap),
        new_secrets=new_secrets,
        shared=shared,
        read_only=read_only,
        discard=yes_or_no("--discard", discard),
        resync_minimum=resync_minimum,
        resync_maximum=resync_maximum,
        initiators=_list("initiator", initiator, any_initiator),
        networks=_list("network", network, any_network),
    )
    reply = ask("POST", volume_path(name, "settings"), SettingsReply, request, alone=True)
    _tell(reply)


def _list(what: str, named: list[str] | None, anybody: bool) -> list[str] | None:
    if named and anybody:
        raise BadOption(option=f"--any-{what}", reason=f"it does not go together with --{what}")
    return [] if anybody else named


def _tell(reply: SettingsReply) -> None:
    lines = [f"Volume {reply.name}:", *words.indented(words.settings(reply.settings))]
    if reply.chap is not None:
        lines += words.indented(words.credentials(reply.chap))
    if reply.settings.shared:
        lines.append(f"{words.CLUSTER_ONLY}.")
    if reply.waits:
        lines.append(
            "It is unlocked, and served as before until: "
            f"twinlock lock {reply.name}; twinlock unlock {reply.name}"
        )
    Console(highlight=False).print("\n".join(lines), markup=False, soft_wrap=True)
