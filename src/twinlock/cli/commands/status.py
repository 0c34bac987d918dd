"""``twinlock status``: are the backups safe?"""

import time
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from twinlock.cli.client import ask
from twinlock.daemon.models import Report, VolumeReport
from twinlock.errors import NoSuchVolume
from twinlock.server.messages import VolumeStatus
from twinlock.units import format_size


def run(
    name: Annotated[str | None, typer.Argument(help="Only this volume.")] = None,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show the volumes, their members, and who is connected."""
    report = ask("GET", "/v1/status", Report)
    if name is not None:
        report.volumes = [volume for volume in report.volumes if volume.name == name]
        if not report.volumes:
            raise NoSuchVolume(name=name)
    if json:
        typer.echo(report.model_dump_json(indent=2))
        return
    _show(Console(highlight=False), report)


def _show(console: Console, report: Report) -> None:
    if not report.volumes:
        console.print("There are no volumes yet; make one with: twinlock create")
    for volume in report.volumes:
        console.print(f"[bold]{volume.name}[/bold]: {escape(_sentence(volume))}", soft_wrap=True)
        table = Table.grid(padding=(0, 2))
        for label, value in _facts(volume):
            table.add_row(f"  {label}", value)
        console.print(table)
    console.print(f"listening on {', '.join(report.portals)}")


def _sentence(volume: VolumeReport) -> str:
    if volume.open is None:
        return f"{volume.state.value}{f' - {volume.reason}' if volume.reason else ''}"
    if volume.open.degraded:
        return (
            "unlocked, but DEGRADED: not every member holds the data. Connect what is missing, then: "
            f"twinlock lock {volume.name}; twinlock unlock {volume.name}"
        )
    if len(volume.open.members) == 1:
        return "unlocked; one member, no redundancy"
    return "unlocked; every member holds everything"


def _facts(volume: VolumeReport) -> list[tuple[str, str]]:
    facts = [("target", volume.target)]
    if volume.open is None:
        return facts + [("member", path) for path in volume.members]
    opened = volume.open
    facts.append(("size", f"{format_size(opened.size)}, blocks of {opened.block_size}"))
    facts.append(("cipher", opened.cipher or "none: the data are readable to whoever has a disk"))
    facts += [("member", f"{member.path}  {member.state}") for member in opened.members]
    if opened.resync is not None:
        done, total = opened.resync
        facts.append(
            ("resync", f"{format_size(done)} of {format_size(total)} ({done * 100 // max(total, 1)} %)")
        )
    facts.append(("connected", _session(opened)))
    return facts


def _session(opened: VolumeStatus) -> str:
    if opened.session is None:
        return "nobody"
    minutes = int(time.time() - opened.session.since) // 60
    return f"{opened.session.initiator} from {opened.session.peer}, for {minutes} min"
