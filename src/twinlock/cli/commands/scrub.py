"""``twinlock scrub``: read every copy from the disks, and compare."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from json import dumps
from typing import Annotated, Any

import typer
from rich.console import Console

from twinlock.cli.client import ask, volume_path
from twinlock.cli.options import JsonOption
from twinlock.cli.progress import INTERRUPTED, Work, told, watch
from twinlock.cli.words import moment
from twinlock.errors import BadOption, ScrubFound
from twinlock.server.tasks import ScrubCancel, ScrubResult, ScrubShow, ScrubStart, ScrubState, ScrubStatus


@dataclass(frozen=True, slots=True)
class _Job:
    """The scrub as :func:`watch` wants it."""

    done: int
    total: int
    rate: float | None
    seconds_left: float | None
    kind: str = "scrub"


def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The volume.")],
    repair: Annotated[
        bool, typer.Option("--repair", help="Make copies equal also where no checksum says which is right.")
    ] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Stop the scrub.")] = False,
    show: Annotated[
        bool, typer.Option("--status", help="Only show the scrub that runs, or the last one.")
    ] = False,
    wait: Annotated[
        bool | None,
        typer.Option("--wait/--no-wait", help="Wait for its end; on a terminal that is the default."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Read every copy from the disks and compare; what cannot be read or is rotten is put right.

    The volume stays in use. With --wait, exit code 36 says that not all could be put right.
    """
    if repair + cancel + show > 1:
        raise BadOption(option="--repair", reason="--repair, --cancel and --status do not go together")
    waits = (sys.stdout.isatty() and not json if wait is None else wait) and not (cancel or show)
    task = ScrubCancel() if cancel else ScrubShow() if show else ScrubStart(repair=repair)
    result = _ask(name, task)
    console = Console(highlight=False, stderr=json)
    if waits:
        goes_on = f"It goes on; to stop it: twinlock scrub {name} --cancel"
        if not watch(console, lambda: _unfinished(name), goes_on):
            raise typer.Exit(INTERRUPTED)
        result = _ask(name, ScrubShow())
    if json:
        typer.echo(dumps(_for_programs(result), indent=2))
    else:
        console.print(_sentence(name, result), markup=False, soft_wrap=True)
    if waits:
        _judge(name, result.scrub)


def _ask(name: str, task: ScrubStart | ScrubCancel | ScrubShow) -> ScrubResult:
    return ask("POST", volume_path(name, "tasks"), ScrubResult, task)


def _unfinished(name: str) -> Sequence[Work] | None:
    result = _ask(name, ScrubShow())
    return [_job(result)] if result.scrub.state is ScrubState.RUNNING else None


def _job(result: ScrubResult) -> _Job:
    return _Job(result.scrub.done, result.scrub.total, result.rate, result.seconds_left)


def _for_programs(result: ScrubResult) -> dict[str, Any]:
    scrub = result.scrub
    told = {"findings": scrub.findings, "sentence": scrub.sentence}
    return asdict(scrub) | told | {"rate": result.rate, "seconds_left": result.seconds_left}


def _sentence(name: str, result: ScrubResult) -> str:
    scrub = result.scrub
    if scrub.state is ScrubState.RUNNING:
        found = f"; so far {scrub.found}" if scrub.findings else ""
        to_see = f"To see it: twinlock scrub {name} --status"
        return f"A scrub of volume {name} is running: {told(_job(result))}{found}. {to_see}"
    if scrub.started is None:
        return f"Volume {name} has not been scrubbed yet."
    when = f" ({moment(scrub.ended)})" if scrub.ended is not None else ""
    return f"The scrub of volume {name} is {scrub.state}{when}: {scrub.sentence}."


def _judge(name: str, scrub: ScrubStatus) -> None:
    """Raise ScrubFound for what is still not as it should be."""
    if scrub.lost:
        advice = "what is lost cannot be read from any member; write it anew from where it came"
        raise ScrubFound(name=name, found=scrub.sentence, advice=advice)
    if scrub.state is ScrubState.RUNNING:
        return
    if scrub.reason is not None or (scrub.mismatches and not scrub.repair):
        advice = f"twinlock scrub {name} --repair makes the copies equal"
        raise ScrubFound(name=name, found=scrub.sentence, advice=advice)
