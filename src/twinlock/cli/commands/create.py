"""``twinlock create``: two disks become a volume."""

from typing import Annotated, Literal

import typer
from rich.console import Console

from twinlock.cli import words
from twinlock.cli.client import ask
from twinlock.cli.options import (
    ChapOption,
    DiscardOption,
    InitiatorOption,
    NetworkOption,
    ReadOnlyOption,
    SharedOption,
    chap_mode,
    member_path,
    size_of,
    yes_or_no,
)
from twinlock.cli.passphrase import PassphraseFile, new_passphrase
from twinlock.daemon.models import ChapMode, CreateReply, CreateRequest
from twinlock.daemon.names import check_lists, check_name, check_target
from twinlock.errors import BadOption
from twinlock.server.key_tasks import LONGEST_ITER_TIME
from twinlock.units import format_size

BLOCK_SIZES: tuple[Literal[512, 4096] | None, ...] = (None, 512, 4096)

MembersArgument = Annotated[
    list[str],
    typer.Argument(metavar="MEMBER", help="Two disks or files (or three); one works, without redundancy."),
]
SizeOption = Annotated[
    str | None,
    typer.Option(help="Size of a member, such as 2G: files that do not exist are made of this size."),
]
BlockSizeOption = Annotated[
    int | None, typer.Option(help="Logical block size, 512 or 4096; the members decide by default.")
]
IterTimeOption = Annotated[
    int | None,
    typer.Option(min=0, max=LONGEST_ITER_TIME, help="Milliseconds that trying one passphrase takes (2000)."),
]


def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the volume.")],
    members: MembersArgument,
    size: SizeOption = None,
    passphrase_file: PassphraseFile = None,
    no_encryption: Annotated[bool, typer.Option("--no-encryption", help="Leave the data readable.")] = False,
    chap: ChapOption = "auto",
    shared: SharedOption = False,
    read_only: ReadOnlyOption = False,
    discard: DiscardOption = "yes",
    initiator: InitiatorOption = None,
    network: NetworkOption = None,
    target: Annotated[str | None, typer.Option(help="Another iSCSI target name than the default.")] = None,
    block_size: BlockSizeOption = None,
    iter_time: IterTimeOption = None,
    no_checksums: Annotated[
        bool, typer.Option("--no-checksums", help="Keep no checksums: what a disk returns is believed.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what the members hold.")] = False,
) -> None:
    """Make a volume on two disks (or files). What they held is lost."""
    check_name(name)  # before anybody types a passphrase twice
    if target is not None:
        check_target(target)
    check_lists(initiator or (), network or ())
    _check_options(block_size, without_use=no_encryption and passphrase_file is not None)
    request = CreateRequest(
        name=name,
        members=[member_path(member) for member in members],
        size=size_of(size),
        encrypted=not no_encryption,
        block_size=BLOCK_SIZES[BLOCK_SIZES.index(block_size)],
        target=target,
        chap=chap_mode(chap) or ChapMode.AUTO,
        shared=bool(shared),
        read_only=bool(read_only),
        discard=yes_or_no("--discard", discard) is not False,
        checksums=not no_checksums,
        initiators=initiator or [],
        networks=network or [],
        force=force,
        iter_time=iter_time,
        passphrase=None if no_encryption else new_passphrase(passphrase_file),
    )
    console = Console(highlight=False)
    with console.status("Making the volume (deriving the key takes some seconds) ..."):
        reply = ask("POST", "/v1/volumes", CreateReply, request, alone=True)
    _tell(console, request, reply)


def _check_options(block_size: int | None, *, without_use: bool) -> None:
    if block_size not in BLOCK_SIZES:
        raise BadOption(option="--block-size", reason="it is 512 or 4096")
    if without_use:
        raise BadOption(option="--no-encryption", reason="a volume without encryption has no passphrase")


def _tell(console: Console, request: CreateRequest, reply: CreateReply) -> None:
    facts = [("target", reply.target), *(words.credentials(reply.chap) if reply.chap else [])]
    lines = [
        f"Volume {reply.name} is made: {format_size(reply.size)} usable ({reply.size} bytes), "
        f"blocks of {reply.block_size} bytes.",
        *words.indented(facts),
        *(f"  {remark}" for remark in _remarks(request, reply)),
        _next(reply),
    ]
    console.print("\n".join(lines), markup=False, soft_wrap=True)


def _remarks(request: CreateRequest, reply: CreateReply) -> list[str]:
    """What whoever made the volume should know of it."""
    said = {
        "No CHAP: every machine on the network may use this volume.": reply.chap is None,
        "No encryption: whoever has a disk can read it.": not request.encrypted,
        "No checksums: data that rot on a disk are found by a scrub only.": not request.checksums,
        f"It is {words.CLUSTER_ONLY}.": request.shared,
        f"Read-only, and blank: twinlock set {reply.name} --read-write allows writing.": request.read_only,
    }
    applying = [remark for remark, applies in said.items() if applies]
    return [*applying, *(f"{each[0].upper()}{each[1:]}." for each in reply.remarks), _copying(request, reply)]


def _copying(request: CreateRequest, reply: CreateReply) -> str:
    if len(request.members) == 1:
        return "No redundancy: with one member, its failure loses everything."
    if reply.copies:
        return "The first build copies one member to the others while the volume is already in use."
    return "All members are new and empty, so there is nothing to copy."


def _next(reply: CreateReply) -> str:
    if reply.reason:
        return f"It is not unlocked: {reply.reason}"
    if reply.unlocked:
        return f"It is unlocked. How to connect: twinlock connect {reply.name}"
    return f"Next: twinlock serve, then: twinlock unlock {reply.name}"
