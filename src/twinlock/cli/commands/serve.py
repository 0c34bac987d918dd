"""``twinlock serve``: the daemon, in the foreground."""

import logging
from typing import Annotated

import typer

from twinlock.daemon.folders import Folders
from twinlock.daemon.settings import parse_portals
from twinlock.errors import BadOption
from twinlock.server.portal import Portal


def run(
    portal: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDRESS:PORT", help="Listen here, not where the configuration says; may be repeated."
        ),
    ] = None,
) -> None:
    """Serve all volumes until stopped (Ctrl-C or SIGTERM)."""
    from twinlock.daemon.run import serve  # takes long to import, and no other command needs it

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    serve(Folders.locate(), portals(portal))


def portals(texts: list[str] | None) -> list[Portal] | None:
    """What ``--portal`` says, if anything; raises BadOption."""
    try:
        return parse_portals(texts) if texts else None
    except ValueError as error:
        raise BadOption(option="--portal", reason=error) from error
