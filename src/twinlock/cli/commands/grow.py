"""``twinlock grow``: a larger volume, or more copies."""

from typing import Annotated

import typer
from rich.console import Console

from twinlock.cli.client import ask, volume_path
from twinlock.cli.interrupted import goes_on
from twinlock.cli.options import JsonOption, size_of
from twinlock.errors import BadOption
from twinlock.server.tasks import Grow, GrowResult
from twinlock.units import format_size

MOST_COPIES = 8


def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The volume.")],
    size: Annotated[
        str | None,
        typer.Option(help="Make members that are files this large; without it, take what the disks have."),
    ] = None,
    copies: Annotated[
        int | None, typer.Option(help="How many complete copies there shall be; spares fill new places.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Let a volume use all that its members have, in use or locked; the initiator is told."""
    if copies is not None and not 1 <= copies <= MOST_COPIES:
        raise BadOption(option="--copies", reason=f"a volume has 1 to {MOST_COPIES} copies")
    task = Grow(size=size_of(size), copies=copies)
    console = Console(highlight=False, stderr=json)
    with goes_on(f"twinlock member list {name}"), console.status("Growing ..."):
        result = ask("POST", volume_path(name, "tasks"), GrowResult, task, alone=True)
    if json:
        typer.echo(result.model_dump_json(indent=2))
        return
    console.print("\n".join(_lines(name, result, copies)), markup=False, soft_wrap=True)


def _lines(name: str, result: GrowResult, copies: int | None) -> list[str]:
    lines = []
    if result.array_size != result.before:
        what = "Volume" if result.size else "The array of volume"
        size = result.array_size if result.size is None else result.size
        lines.append(f"{what} {name} has grown: {format_size(size)} ({size} bytes).")
    elif copies is None:
        lines.append(f"Volume {name} uses all that its members have: {format_size(result.array_size)}.")
        lines.append(f"For more, put in larger disks: twinlock member replace {name} OLD NEW")
    if copies is not None:
        told = "one copy" if result.places == 1 else f"{result.places} copies"
        lines.append(f"Volume {name} is to have {told}; twinlock member list {name} shows how far that is.")
    if result.told:
        lines.append(
            "The initiator is told. It may have to look again (Linux: iscsiadm -m session --rescan; "
            "Windows: diskmgmt.msc, Rescan Disks); then enlarge partition and file system there."
        )
    return lines
