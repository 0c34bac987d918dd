"""The entry point: commands, and what the user sees when one cannot be done."""

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console

import twinlock
from twinlock.errors import InternalError, TwinlockError
from twinlock.native.process import harden

COMMANDS = {
    "create": "create",
    "import": "import_",  # a module cannot have a name that Python has already
    "serve": "serve",
    "unlock": "unlock",
    "connect": "connect",
    "status": "status",
    "lock": "lock",
    "set": "settings",
    "grow": "grow",
    "scrub": "scrub",
    "discovery": "discovery",
}
"""Each command's module, whose ``run`` it is; in the order of the help."""
GROUPS = ("member", "key", "header")
"""Modules with commands of their own, in an ``app``."""


def application(arguments: Sequence[str]) -> typer.Typer:
    """The commands; where ``arguments`` begin with the name of one, that one: nobody waits for the others."""
    app = typer.Typer(
        name="twinlock",
        help="Two disks become one encrypted, mirrored disk on the network, for backups.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    named = [name for name in arguments[:1] if name in COMMANDS or name in GROUPS]
    for name in named or (*COMMANDS, *GROUPS):
        module = importlib.import_module(f"twinlock.cli.commands.{COMMANDS.get(name, name)}")
        if name in GROUPS:
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(module.run)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"twinlock {twinlock.__version__}")
        raise typer.Exit


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
        application(sys.argv[1:])()
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
