"""``twinlock import``: what mdadm and cryptsetup made becomes a volume, where it is."""

import getpass
import os
import sys
from typing import Annotated

import typer
from pydantic import SecretBytes
from rich.console import Console

from twinlock.cli import words
from twinlock.cli.client import ask
from twinlock.cli.options import ChapOption, ReadOnlyOption, chap_mode
from twinlock.cli.passphrase import PassphraseFile, existing_passphrase
from twinlock.daemon.models import ChapMode, ImportLook, ImportReply, ImportRequest
from twinlock.daemon.names import check_name
from twinlock.errors import BadOption, MemberUnusable
from twinlock.server.takeover.facts import Found, FoundArray, FoundContainer
from twinlock.units import format_size

DECLINED = 1
"""Exit code of whoever does not agree; nothing was changed."""

MembersArgument = Annotated[
    list[str], typer.Argument(metavar="MEMBER", help="The disks, partitions or files that hold it.")
]
TestOption = Annotated[
    bool | None,
    typer.Option(
        "--test/--no-test", help="Try the passphrase. At a terminal it is asked for, unless told not to."
    ),
]


def run(
    members: MembersArgument,
    name: Annotated[str | None, typer.Option(help="What to call the volume.")] = None,
    passphrase_file: PassphraseFile = None,
    test: TestOption = None,
    chap: ChapOption = "auto",
    read_only: ReadOnlyOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is found.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether to go on.")] = False,
) -> None:
    """Take over what mdadm and cryptsetup made: an array, a container, a disk as it is. Nothing is copied."""
    if name is not None:
        check_name(name)
    if test is False and passphrase_file is not None:
        raise BadOption(option="--no-test", reason="a passphrase that is given is tried")
    request = ImportRequest(
        members=[_member(member) for member in members],
        name=name,
        chap=chap_mode(chap) or ChapMode.AUTO,
        read_only=bool(read_only),
    )
    console = Console(highlight=False)
    look = ask("POST", "/v1/imports/look", ImportLook, request, alone=True)
    console.print("\n".join(_account(look)), markup=False, soft_wrap=True)
    if not dry_run and not yes:
        _confirm()
    tried = _passphrase(look.found, passphrase_file, test)
    request = request.model_copy(update={"name": look.name, "expected": look.found, "passphrase": tried})
    if dry_run:
        _try(console, request)
        return
    with console.status("Taking it over ..."):
        reply = ask("POST", "/v1/imports", ImportReply, request, alone=True)
    console.print("\n".join(_told(request, reply)), markup=False, soft_wrap=True)


def _member(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise MemberUnusable(path=ascii(path), reason="its name is not UTF-8") from None
    return os.path.abspath(path)


# -- questions ------------------------------------------------------------------------------------


def _at_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _confirm() -> None:
    if not _at_terminal():
        raise BadOption(option="--yes", reason="there is no terminal to ask at; say --yes to take it over")
    if not typer.confirm("Take it over?"):
        raise typer.Exit(DECLINED)


def _passphrase(found: Found, file: str | None, test: bool | None) -> SecretBytes | None:
    """What is to be tried; None for nothing."""
    if found.container is None:
        if test or file is not None:
            raise BadOption(option="--test", reason="what was found is not encrypted: there is no passphrase")
        return None
    if file is not None or test:
        return existing_passphrase(file)
    if test is False or not _at_terminal():
        return None
    typed = getpass.getpass("Passphrase, to see now whether it opens (Enter: not now): ")
    return SecretBytes(typed.encode(errors="surrogateescape")) if typed else None


def _try(console: Console, request: ImportRequest) -> None:
    if request.passphrase is not None:
        with console.status("Deriving the key takes some seconds ..."):
            ask(
                "POST",
                "/v1/imports/look",
                ImportLook,
                request.model_copy(update={"expected": None}),
                alone=True,
            )
        console.print("The passphrase opens it.")
    console.print("Nothing was changed.")


# -- the account ----------------------------------------------------------------------------------


def _account(look: ImportLook) -> list[str]:
    """Everything that was found, for whoever has to agree."""
    found = look.found
    facts = [
        *(_array(found.array) if found.array else [("found", "one device, without an array")]),
        *[
            ("member", f"{each.path}, {format_size(each.size)}: {each.state}{_bad(each.bad_sectors)}")
            for each in found.members
        ],
        *(_container(found.container) if found.container else []),
        *[("holds", each) for each in found.contents],
        ("size", f"{format_size(found.size)} ({found.size} bytes), blocks of {found.block_size} bytes"),
        ("volume", look.name),
        ("target", look.target),
    ]
    return [*words.indented(facts), *(f"  {remark}" for remark in found.remarks)]


def _array(array: FoundArray) -> list[tuple[str, str]]:
    state = ", ".join(
        ["clean" if array.clean else "active", *([f"{array.missing} missing"] if array.missing else [])]
    )
    return [
        ("array", f"RAID1 of {array.places}, metadata {array.metadata}, {state}"),
        ("UUID", str(array.uuid)),
        *([("name", array.name)] if array.name else []),
    ]


def _bad(sectors: int) -> str:
    return f", {sectors} sectors in its bad-block log" if sectors else ""


def _container(container: FoundContainer) -> list[tuple[str, str]]:
    label = f", named {container.label!r}" if container.label else ""
    return [
        (
            "container",
            f"LUKS{container.version}, {container.cipher}, key of {container.key_bits} bits, "
            f"sectors of {container.sector_size} bytes{label}",
        )
    ]


def _told(request: ImportRequest, reply: ImportReply) -> list[str]:
    facts = [("target", reply.target), *(words.credentials(reply.chap) if reply.chap else [])]
    said = {
        "The passphrase opens it.": request.passphrase is not None,
        "No CHAP: every machine on the network may use this volume.": reply.chap is None,
        f"Read-only: twinlock set {reply.name} --read-write allows writing.": request.read_only,
    }
    return [
        f"Volume {reply.name} is taken over; its data stay where they are.",
        *words.indented(facts),
        *(f"  {remark}" for remark, applies in said.items() if applies),
        _next(reply),
    ]


def _next(reply: ImportReply) -> str:
    if reply.reason:
        return f"It is not unlocked: {reply.reason}"
    if reply.unlocked:
        return f"It is unlocked. How to connect: twinlock connect {reply.name}"
    return f"Next: twinlock serve (unless it runs), then: twinlock unlock {reply.name}"
