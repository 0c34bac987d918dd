"""``twinlock status``: are the backups safe?"""

import time
from collections.abc import Iterable
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress_bar import ProgressBar

from twinlock.cli.client import ask
from twinlock.cli.progress import told
from twinlock.cli.words import indented, moment, restrictions
from twinlock.daemon.models import Report, VolumeReport
from twinlock.errors import NoSuchVolume
from twinlock.server.messages import FailedLogins, JobStatus, MemberStatus, SessionStatus, VolumeStatus
from twinlock.server.tasks import ScrubState, ScrubStatus
from twinlock.units import format_size, one_line

BAR = 60
"""Columns of a bar, at most."""


def run(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Only this volume.")] = None,
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
        _show_facts(console, volume)
    _show_portals(console, report)


def _show_facts(console: Console, volume: VolumeReport) -> None:
    """In columns; on a terminal with a picture of each job, right below what is said of it for all."""
    facts = _facts(volume)
    jobs = {told(job): job for job in (volume.open.jobs if volume.open is not None else ())}
    for (_, value), line in zip(facts, indented(facts), strict=True):
        console.print(line, markup=False, soft_wrap=True)
        if value in jobs and console.is_terminal:
            _show_bar(console, jobs[value], len(line) - len(value))


def _show_bar(console: Console, job: JobStatus, indent: int) -> None:
    width = max(1, min(BAR, console.width - indent))
    bar = ProgressBar(total=max(job.total, 1), completed=job.done, width=width)
    console.print(Padding(bar, (0, 0, 0, indent), expand=False))


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
    return f"unlocked{_safety(volume, volume.open)}{f' - {volume.reason}' if volume.reason else ''}"


def _safety(volume: VolumeReport, opened: VolumeStatus) -> str:
    if opened.degraded:
        return f", but DEGRADED: not every member holds the data. {_degraded(volume)}"
    if opened.replacing is not None:
        return f"; every copy is complete, and {opened.replacing} is being replaced"
    if len(opened.members) == 1:
        return "; one member, no redundancy"
    if any(member.state == "spare" for member in opened.members):
        return "; every copy is complete"
    return "; every member holds everything"


def _degraded(volume: VolumeReport) -> str:
    """What to do about it."""
    if volume.open is not None and any(member.state == "rebuilding" for member in volume.open.members):
        return "It is being put right; do not take out the other member"
    return (
        f"Connect what is missing, or take a new disk, then: twinlock member add {volume.name} DISK "
        f"(which is it: twinlock member list {volume.name})"
    )


def _facts(volume: VolumeReport) -> list[tuple[str, str]]:
    facts = [("target", volume.target)]
    facts += restrictions(volume.settings)
    if volume.next_settings is not None:
        facts.append(("changed", f"from its next unlock on; see twinlock set {volume.name}"))
    if volume.secrets_wait:
        facts.append(("CHAP secrets", "changed, from its next unlock on"))
    scrub = [("last scrub", _scrub(volume.name, volume.last_scrub))]
    if volume.open is None:
        return facts + [("member", path) for path in volume.members] + scrub * (volume.last_scrub is not None)
    opened = volume.open
    facts.append(("size", f"{format_size(opened.size)}, blocks of {opened.block_size}"))
    facts.append(("cipher", opened.cipher or "none: the data are readable to whoever has a disk"))
    facts += [("member", f"{member.path}  {_member(member)}") for member in opened.members]
    facts += [(job.kind, told(job)) for job in opened.jobs]
    facts += scrub * (len(opened.members) > 1 or volume.last_scrub is not None)
    facts += [("connected", _session(each)) for each in opened.sessions] or [("connected", "nobody")]
    return facts + _failures(opened.failed_logins)


def _member(member: MemberStatus) -> str:
    """Its state, and what it cost so far; a disk that makes mistakes makes more of them."""
    notes = [
        (member.read_errors, f"{_blocks(member.read_errors)} rewritten"),
        (member.wrong_checksums, f"{_blocks(member.wrong_checksums)} with a wrong checksum"),
        (member.checksums == "rebuilding", "checksums are being rebuilt"),
        (member.checksums == "lost", "checksums lost (their file failed), until the next unlock"),
        (member.checksums is None and member.state == "in sync", "without checksums"),
    ]
    return ", ".join([member.state, *(note for counts, note in notes if counts)])


def _blocks(count: int) -> str:
    return "1 block" if count == 1 else f"{count} blocks"


def _failures(failed: Iterable[FailedLogins]) -> list[tuple[str, str]]:
    """Who tried and did not know the secret, or gave none."""
    return [
        ("wrong secret", f"{_times(each.count)} from {each.address}, last {_minutes(each.last)} min ago")
        for each in failed
    ]


def _scrub(name: str, scrub: ScrubStatus | None) -> str:
    """When it ended, and what it found."""
    if scrub is None or scrub.ended is None:
        return f"none yet; it reads and compares every copy: twinlock scrub {name}"
    ended = "" if scrub.state is ScrubState.FINISHED else f"{scrub.state} "
    return f"{ended}{moment(scrub.ended)}: {scrub.sentence}"


def _session(session: SessionStatus) -> str:
    return f"{one_line(session.initiator)} from {session.peer}, for {_minutes(session.since)} min"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _minutes(since: float) -> int:
    return max(0, int(time.time() - since) // 60)
