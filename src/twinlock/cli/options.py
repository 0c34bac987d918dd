"""Options that several commands have, and what their values mean."""

import os
from typing import Annotated

import typer

from twinlock.daemon.models import ChapMode
from twinlock.errors import BadOption, MemberUnusable
from twinlock.units import parse_size

CHAP_CHOICES = tuple(mode.value for mode in ChapMode)

ChapOption = Annotated[
    str | None,
    typer.Option(
        "--chap",
        metavar="auto|mutual|none",
        help="'auto' makes a user and a secret; 'mutual' a second pair, by which the target proves itself in "
        "turn; 'none' lets in every machine on the network.",
    ),
]
SharedOption = Annotated[
    bool | None,
    typer.Option(
        "--shared/--exclusive",
        help="Let in several initiators at once: for cluster file systems only. Exclusive is the default.",
    ),
]
ReadOnlyOption = Annotated[
    bool | None,
    typer.Option("--read-only/--read-write", help="Refuse every write. Read-write is the default."),
]
DiscardOption = Annotated[
    str | None,
    typer.Option(
        metavar="yes|no",
        help="Whether the initiator may say what it does not use any more (UNMAP); this shows on the disks.",
    ),
]
InitiatorOption = Annotated[
    list[str] | None,
    typer.Option("--initiator", metavar="NAME", help="Let in only this initiator; may be repeated."),
]
NetworkOption = Annotated[
    list[str] | None,
    typer.Option(
        "--network", metavar="CIDR", help="Let in only this network, such as 192.168.1.0/24; may be repeated."
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]
MemberSizeOption = Annotated[
    str | None, typer.Option("--size", help="Size of a member that is a file, such as 2T.")
]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite what the new member holds.")]


def member_path(path: str) -> str:
    """A member's path as the configuration has it, absolute; raises MemberUnusable."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise MemberUnusable(path=ascii(path), reason="its name is not UTF-8") from None
    return os.path.abspath(path)


def size_of(text: str | None) -> int | None:
    """What ``--size`` says, in bytes; raises BadOption."""
    try:
        return None if text is None else parse_size(text)
    except ValueError as error:
        raise BadOption(option="--size", reason=f"{error}; write it like 500G or 2T") from error


def chap_mode(text: str | None) -> ChapMode | None:
    """What ``--chap`` says; raises BadOption."""
    if text is None:
        return None
    if text not in CHAP_CHOICES:
        raise BadOption(option="--chap", reason="it is auto, mutual or none")
    return ChapMode(text)


def yes_or_no(option: str, text: str | None) -> bool | None:
    """What an option with yes or no says; raises BadOption."""
    if text is None:
        return None
    if text not in ("yes", "no"):
        raise BadOption(option=option, reason="it is yes or no")
    return text == "yes"
