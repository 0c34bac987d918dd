"""The entry point: commands, and what the user sees when one cannot be done."""

import logging
import os
import sys
from typing import Annotated

import typer
from rich.console import Console

import twinlock
from twinlock.cli.commands import (
    connect,
    create,
    discovery,
    grow,
    header,
    import_,
    key,
    lock,
    member,
    scrub,
    serve,
    settings,
    status,
    unlock,
)
from twinlock.errors import InternalError, TwinlockError
from twinlock.native.process import harden

app = typer.Typer(
    name="twinlock",
    help="Two disks become one encrypted, mirrored disk on the network, for backups.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _group in (member, key, header):
    app.add_typer(_group.app, name=_group.__name__.rpartition(".")[2])
_RENAMED = {settings: "set", import_: "import"}  # a module cannot have a name that Python has already
for _module in (create, import_, serve, unlock, connect, status, lock, settings, grow, scrub, discovery):
    app.command(_RENAMED.get(_module, _module.__name__.rpartition(".")[2]))(_module.run)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"twinlock {twinlock.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command; every error becomes one sentence and its own exit code."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        harden()  # a passphrase may pass through this process
        app()
    except TwinlockError as error:
        console.print(f"twinlock: {error}", markup=False)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if os.environ.get("TWINLOCK_DEBUG"):
            logging.exception("a bug")
        bug = InternalError(reason=type(error).__name__)  # its text could quote a secret
        console.print(f"twinlock: {bug}", markup=False)
        sys.exit(bug.exit_code)


if __name__ == "__main__":
    main()
