"""``twinlock create``: two disks become a volume."""

import os
from typing import Annotated, Literal

import typer
from rich.console import Console

from twinlock.cli.client import ask
from twinlock.cli.passphrase import PassphraseFile, new_passphrase
from twinlock.daemon.config import check_name, check_target
from twinlock.daemon.models import CreateReply, CreateRequest
from twinlock.errors import BadOption, MemberUnusable
from twinlock.units import format_size, parse_size

MAX_ITER_TIME = 600_000
CHAP_CHOICES = ("auto", "none")
BLOCK_SIZES: tuple[Literal[512, 4096] | None, ...] = (None, 512, 4096)


def run(
    name: Annotated[str, typer.Argument(help="What to call the volume.")],
    members: Annotated[
        list[str],
        typer.Argument(metavar="MEMBER", help="Two disks or files; one works, without redundancy."),
    ],
    size: Annotated[
        str | None,
        typer.Option(help="Size of a member, such as 2G: files that do not exist are made of this size."),
    ] = None,
    passphrase_file: PassphraseFile = None,
    no_encryption: Annotated[bool, typer.Option("--no-encryption", help="Leave the data readable.")] = False,
    chap: Annotated[
        str,
        typer.Option(help="'auto' makes a user and a secret; 'none' lets in every machine on the network."),
    ] = "auto",
    target: Annotated[str | None, typer.Option(help="Another iSCSI target name than the default.")] = None,
    block_size: Annotated[
        int | None, typer.Option(help="Logical block size, 512 or 4096; the members decide by default.")
    ] = None,
    iter_time: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=MAX_ITER_TIME,
            help="Milliseconds that trying one passphrase takes (2000).",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what the members hold.")] = False,
) -> None:
    """Make a volume on two disks (or files). What they held is lost."""
    check_name(name)  # before anybody types a passphrase twice
    if target is not None:
        check_target(target)
    _check_options(chap, block_size, without_use=no_encryption and passphrase_file is not None)
    request = CreateRequest(
        name=name,
        members=[_member(member) for member in members],
        size=_size(size),
        encrypted=not no_encryption,
        block_size=BLOCK_SIZES[BLOCK_SIZES.index(block_size)],
        target=target,
        chap=chap == "auto",
        force=force,
        iter_time=iter_time,
        passphrase=None if no_encryption else new_passphrase(passphrase_file),
    )
    console = Console(highlight=False)
    with console.status("Making the volume (deriving the key takes some seconds) ..."):
        reply = ask("POST", "/v1/volumes", CreateReply, request, alone=True)
    _tell(console, request, reply)


def _check_options(chap: str, block_size: int | None, *, without_use: bool) -> None:
    if chap not in CHAP_CHOICES:
        raise BadOption(option="--chap", reason="it is auto or none")
    if block_size not in BLOCK_SIZES:
        raise BadOption(option="--block-size", reason="it is 512 or 4096")
    if without_use:
        raise BadOption(option="--no-encryption", reason="a volume without encryption has no passphrase")


def _member(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise MemberUnusable(path=ascii(path), reason="its name is not UTF-8") from None
    return os.path.abspath(path)


def _size(text: str | None) -> int | None:
    try:
        return None if text is None else parse_size(text)
    except ValueError as error:
        raise BadOption(option="--size", reason=f"{error}; write it like 500G or 2T") from error


def _tell(console: Console, request: CreateRequest, reply: CreateReply) -> None:
    lines = [
        f"Volume {reply.name} is made: {format_size(reply.size)} usable ({reply.size} bytes), "
        f"blocks of {reply.block_size} bytes.",
        f"  target      {reply.target}",
    ]
    if reply.chap_user and reply.chap_secret:
        lines += [
            f"  CHAP user   {reply.chap_user}",
            f"  CHAP secret {reply.chap_secret.get_secret_value()}   (shown this once; twinlock keeps it)",
        ]
    else:
        lines.append("  No CHAP: every machine on the network may use this volume.")
    if not request.encrypted:
        lines.append("  No encryption: whoever has a disk can read it.")
    if len(request.members) == 1:
        lines.append("  No redundancy: with one member, its failure loses everything.")
    elif reply.copies:
        lines.append("  The first build copies one member to the other while the volume is already in use.")
    else:
        lines.append("  Both members are new and empty, so there is nothing to copy.")
    lines.append(_next(reply))
    console.print("\n".join(lines), markup=False, soft_wrap=True)


def _next(reply: CreateReply) -> str:
    if reply.reason:
        return f"It is not unlocked: {reply.reason}"
    if reply.unlocked:
        return f"It is unlocked. How to connect: twinlock connect {reply.name}"
    return f"Next: twinlock serve, then: twinlock unlock {reply.name}"
