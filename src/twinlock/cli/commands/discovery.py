"""``twinlock discovery``: who may ask which targets there are."""

from typing import Annotated

import typer
from rich.console import Console

from twinlock.cli import words
from twinlock.cli.client import ask
from twinlock.cli.options import ChapOption, chap_mode
from twinlock.daemon.models import ChapMode, DiscoveryReply, DiscoveryRequest

_SENTENCES = {
    ChapMode.NONE: "Discovery is open: who can reach a portal is told the targets that let it in.",
    ChapMode.AUTO: "Discovery asks for a user and a secret.",
    ChapMode.MUTUAL: "Discovery asks for a user and a secret, and the target proves itself in turn.",
}


def run(
    chap: ChapOption = None,
    new_secrets: Annotated[bool, typer.Option("--new-secrets", help="Make new CHAP secrets.")] = False,
) -> None:
    """Choose whether initiators that ask for targets have to prove who they are. Without options: show it.

    A change counts at once. It does not concern logins: each volume has secrets of its own.
    """
    request = DiscoveryRequest(chap=chap_mode(chap), new_secrets=new_secrets)
    reply = ask("POST", "/v1/discovery", DiscoveryReply, request, alone=True)
    lines = [_SENTENCES[reply.chap]]
    if reply.credentials is not None:
        lines += words.indented(words.credentials(reply.credentials))
    Console(highlight=False).print("\n".join(lines), markup=False, soft_wrap=True)
