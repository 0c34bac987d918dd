"""``twinlock status``: are the backups safe?"""

import time
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from twinlock.cli.client import ask
from twinlock.cli.words import indented, restrictions
from twinlock.daemon.models import Report, VolumeReport
from twinlock.errors import NoSuchVolume
from twinlock.server.messages import FailedLogins, SessionStatus
from twinlock.units import format_size, one_line


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
        console.print("\n".join(indented(_facts(volume))), markup=False, soft_wrap=True)
    _show_portals(console, report)


def _show_portals(console: Console, report: Report) -> None:
    listening = [each.portal for each in report.portals if each.listening]
    if listening:
        console.print(f"listening on {', '.join(listening)}", soft_wrap=True)
    for portal in report.portals:
        if not portal.listening:
            waiting = f"NOT listening on {portal.portal}: {portal.reason}; it is tried again"
            console.print(waiting, markup=False, soft_wrap=True)
    for label, value in _failures(report.failed_discoveries):
        console.print(f"discovery: {label} {value}", markup=False, soft_wrap=True)


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
    facts += restrictions(volume.settings)
    if volume.next_settings is not None:
        facts.append(("changed", f"from its next unlock on; see twinlock set {volume.name}"))
    if volume.secrets_wait:
        facts.append(("CHAP secrets", "changed, from its next unlock on"))
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
    facts += [("connected", _session(each)) for each in opened.sessions] or [("connected", "nobody")]
    return facts + _failures(opened.failed_logins)


def _failures(failed: Iterable[FailedLogins]) -> list[tuple[str, str]]:
    """Who tried and did not know the secret, or gave none."""
    return [
        ("wrong secret", f"{_times(each.count)} from {each.address}, last {_minutes(each.last)} min ago")
        for each in failed
    ]


def _session(session: SessionStatus) -> str:
    return f"{one_line(session.initiator)} from {session.peer}, for {_minutes(session.since)} min"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _minutes(since: float) -> int:
    return max(0, int(time.time() - since) // 60)
