"""``twinlock member``: the disks of a volume, and how they come and go."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console

from twinlock.cli.client import ask, volume_path
from twinlock.cli.interrupted import goes_on
from twinlock.cli.options import ForceOption, JsonOption, MemberSizeOption, member_path, size_of
from twinlock.cli.progress import INTERRUPTED, Work, told, watch
from twinlock.cli.words import indented
from twinlock.errors import MemberUnusable, NotPossibleNow
from twinlock.server.tasks import (
    MemberAdd,
    MemberChoose,
    MemberFacts,
    MemberFail,
    MemberList,
    MemberRemove,
    MemberReplace,
    MembersResult,
)
from twinlock.units import format_size

app = typer.Typer(
    help="The disks of a volume: list, add, remove, fail, replace, choose.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The volume.")]
Path = Annotated[str, typer.Argument(metavar="MEMBER", help="The disk or file.")]
New = Annotated[str, typer.Argument(metavar="NEW", help="The disk or file that takes its place.")]
Wait = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait until the new member is complete, and show progress.")
]
_FILLING = ("rebuilding", "to be caught up", "to be filled")
"""States of members that get what they lack, now or at the next unlock."""
Task = MemberList | MemberAdd | MemberRemove | MemberFail | MemberReplace | MemberChoose


@app.command("list")
def list_(name: Name, json: JsonOption = False) -> None:
    """Show the members, how each is, and what is being copied."""
    _tell(name, _ask(name, MemberList()), json)


@app.command()
def add(
    name: Name,
    member: Path,
    size: MemberSizeOption = None,
    force: ForceOption = False,
    wait: Wait = False,
    json: JsonOption = False,
) -> None:
    """Add a disk: it fills a free place at once, else it is a spare. One that was away catches up."""
    task = MemberAdd(path=member_path(member), size=size_of(size), force=force)
    _take_in(name, task, task.path, json, wait)


@app.command()
def remove(name: Name, member: Path, json: JsonOption = False) -> None:
    """Let go of a member. What it holds stays on it; added again, it catches up if it can."""
    _tell(name, _ask(name, MemberRemove(path=member_path(member))), json)


@app.command()
def fail(name: Name, member: Path, json: JsonOption = False) -> None:
    """Call a member faulty: nothing is read from it or written to it; a spare takes its place.

    It catches up when it is added again (twinlock member add), or at the next unlock. To let go of it for
    good: twinlock member remove.
    """
    _tell(name, _ask(name, MemberFail(path=member_path(member))), json)


@app.command()
def replace(
    name: Name,
    member: Path,
    new: New,
    size: MemberSizeOption = None,
    force: ForceOption = False,
    wait: Wait = False,
    json: JsonOption = False,
) -> None:
    """Put NEW in the place of MEMBER, which takes part until NEW is complete. NEW may be a spare."""
    old, path = member_path(member), member_path(new)
    task = MemberReplace(path=old, new=path, size=size_of(size), force=force)
    _take_in(name, task, path, json, wait, old)


@app.command()
def choose(name: Name, member: Path, json: JsonOption = False) -> None:
    """Of members that ran apart, go on with this one. What only the others hold is lost."""
    _tell(name, _ask(name, MemberChoose(path=member_path(member))), json)


def _ask(name: str, task: Task) -> MembersResult:
    with goes_on(f"twinlock member list {name}"):
        return ask("POST", volume_path(name, "tasks"), MembersResult, task, alone=True)


def _take_in(
    name: str, task: MemberAdd | MemberReplace, path: str, json: bool, wait: bool, old: str | None = None
) -> None:
    """Have a member taken in, and, if asked, wait until it is complete, and ``old`` no member any more."""
    if wait and not _ask(name, MemberList()).open:
        reason = f"volume '{name}' is locked, and nothing is copied meanwhile; unlock it, or leave out --wait"
        raise NotPossibleNow(reason=reason)
    result = _ask(name, task)
    if wait:
        goes_on = f"The copying goes on; twinlock member list {name} shows it."
        if not watch(Console(highlight=False, stderr=json), lambda: _unfinished(name, old), goes_on):
            raise typer.Exit(INTERRUPTED)
        result = _ask(name, MemberList())
    _tell(name, result, json)
    if wait:
        _judge(path, result)


def _judge(path: str, result: MembersResult) -> None:
    """Raise MemberUnusable if the new member did not become what was waited for."""
    state = next((member.state for member in result.found if member.path == path), "gone")
    if state not in ("in sync", "spare"):
        raise MemberUnusable(path=path, reason=f"it is not complete, but {state}")


def _tell(name: str, result: MembersResult, json: bool) -> None:
    console = Console(highlight=False, stderr=json)
    if json:
        typer.echo(result.model_dump_json(indent=2))
        return
    console.print("\n".join(_lines(name, result)), markup=False, soft_wrap=True)


def _unfinished(name: str, old: str | None) -> Sequence[Work] | None:
    """What is under way; None once no member is being filled, or nothing is copied any more.

    ``old`` leaves the configuration a moment after it left the array.
    """
    found = _ask(name, MemberList())
    if not found.open:
        return None
    filling = found.replacing is not None or any(
        member.state == "rebuilding" or (member.path == old and member.state == "replaced")
        for member in found.found
    )
    return [job for job in found.jobs if job.kind == "resync"] if filling else None


def _lines(name: str, result: MembersResult) -> list[str]:
    copies = result.places - (result.replacing is not None)
    places = "one copy" if copies == 1 else f"{copies} copies"
    lines = [f"Volume {name}: {places} of {format_size(result.size)}"]
    lines += indented([(member.path, _state(member, result)) for member in result.found])
    lines += indented([(job.kind, told(job)) for job in result.jobs])
    return lines + _advice(name, result)


def _later(name: str, result: MembersResult) -> list[str]:
    """Nothing is copied while the volume is locked."""
    return [] if result.open else [f"Nothing is copied while it is locked; to go on: twinlock unlock {name}"]


def _state(member: MemberFacts, result: MembersResult) -> str:
    parts = [str(member.state)]
    if member.path == result.replacing:
        parts.append("is being replaced")
    if member.checksums is not None and member.state != "faulty":
        parts.append({"on": "checksums"}.get(member.checksums, f"checksums {member.checksums}"))
    counts = {"read errors repaired": member.read_errors, "wrong checksums": member.wrong_checksums}
    parts += [f"{count} {what}" for what, count in counts.items() if count]
    if member.write_mostly:
        parts.append("write-mostly")
    return ", ".join(parts + ([member.reason] if member.reason else []))


def _advice(name: str, result: MembersResult) -> list[str]:
    if result.account is not None:
        return [f"It cannot be unlocked: {result.account}"]
    free = [member for member in result.found if member.state in ("missing", "faulty")]
    filling = any(member.state in _FILLING for member in result.found)
    if result.replacing is not None:
        takes_part = f"{result.replacing} takes part until the new one is complete."
        return [takes_part, *_later(name, result)]
    if not result.degraded:
        return []
    if filling or not free:
        incomplete = "A copy is not complete yet; until it is, do not take out the other."
        return [incomplete, *_later(name, result)]
    if any(member.state == "spare" for member in result.found):
        return ["A copy is missing; a spare takes its place.", *(_later(name, result) or _shown(name))]
    complete = sum(member.state == "in sync" for member in result.found)
    return [
        f"A copy is missing. Connect the disk, or take a new one: twinlock member add {name} DISK",
        f"To go on with fewer copies: twinlock grow {name} --copies {max(1, complete)}",
    ]


def _shown(name: str) -> list[str]:
    return [f"To see how far that is: twinlock member list {name}"]
