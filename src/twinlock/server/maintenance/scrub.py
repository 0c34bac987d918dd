"""Scrubs: started, stopped, looked at.  The array itself does the work, in the background."""

from collections.abc import Callable

from twinlock.block.mirror.mirror import Mirror
from twinlock.block.mirror.progress import JobKind
from twinlock.errors import NotPossibleNow
from twinlock.server.maintenance.context import Context
from twinlock.server.tasks import ScrubCancel, ScrubResult, ScrubShow, ScrubStart, ScrubState, ScrubStatus


def _start(task: ScrubStart, context: Context) -> ScrubResult:
    mirror = _running(context)
    mirror.start_scrub(repair=task.repair)
    return _result(mirror, mirror.scrub_status)


def _cancel(_task: ScrubCancel, context: Context) -> ScrubResult:
    mirror = _running(context)
    mirror.cancel_scrub()
    return _result(mirror, mirror.scrub_status)


def _show(_task: ScrubShow, context: Context) -> ScrubResult:
    """The one that runs, or the last one, also of before this start."""
    mirror = _running(context)
    status = mirror.scrub_status
    if status.state is ScrubState.NONE and context.service is not None:
        status = context.service.scrubs.last or status
    return _result(mirror, status)


HANDLERS: dict[type, Callable[..., ScrubResult]] = {
    ScrubStart: _start,
    ScrubCancel: _cancel,
    ScrubShow: _show,
}


def _running(context: Context) -> Mirror:
    """The array of an open volume: nobody would do the work for a locked one."""
    context.refuse_bare()
    if context.service is None:
        name = context.spec.name
        raise NotPossibleNow(reason=f"volume '{name}' is locked; first: twinlock unlock {name}")
    return context.service.mirror


def _result(mirror: Mirror, status: ScrubStatus) -> ScrubResult:
    job = next((job for job in mirror.status().jobs if job.kind is JobKind.SCRUB), None)
    return ScrubResult(
        scrub=status,
        rate=job.rate if job else None,
        seconds_left=job.seconds_left if job else None,
    )
