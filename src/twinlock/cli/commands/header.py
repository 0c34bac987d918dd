"""``twinlock header``: backups of the container's header, without which no key opens anything."""

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from twinlock.cli.client import ask, volume_path
from twinlock.errors import HeaderBackupUnusable
from twinlock.server.durable import sync_folder
from twinlock.server.key_tasks import (
    HeaderBackup,
    HeaderForget,
    HeaderList,
    HeaderRestore,
    HeaderResult,
    HeadersResult,
    KeptHeader,
)
from twinlock.units import MIB, format_size

app = typer.Typer(help="Backups of a volume's LUKS header.", no_args_is_help=True)

LARGEST = 40 * MIB
"""Bytes; that of LUKS2 has two copies of 4 MiB each at most, and as cryptsetup makes it 32 MiB more."""

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The volume.")]


@app.command("list")
def list_(
    name: NameArgument, json: Annotated[bool, typer.Option("--json", help="For programs.")] = False
) -> None:
    """Show the backups that are kept."""
    found = ask("POST", volume_path(name, "tasks"), HeadersResult, HeaderList(), alone=True)
    if json:
        typer.echo(found.model_dump_json(indent=2))
        return
    lines = [_line(each) for each in found.kept] or [f"No backup of the header of volume {name} is kept."]
    _print(*lines)


@app.command()
def backup(
    name: NameArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; it must not be there yet.")],
) -> None:
    """Write the header to a file, as cryptsetup luksHeaderBackup does."""
    if os.path.lexists(file):
        raise HeaderBackupUnusable(path=file, reason="it is there already")
    (kept,) = ask("POST", volume_path(name, "tasks"), HeadersResult, HeaderBackup(), alone=True).kept
    try:
        _write(file, Path(kept.path).read_bytes())
    except OSError as error:
        raise HeaderBackupUnusable(path=file, reason=error.strerror) from error
    _print(
        f"The header of volume {name} is in {file} ({format_size(kept.size)}).",
        "Who has it and a key it holds can read the disks, also after that key was removed.",
    )


@app.command()
def restore(
    name: NameArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Made by twinlock, or by cryptsetup.")],
    force: Annotated[
        bool, typer.Option("--force", help="Even one of another container: the data are lost then.")
    ] = False,
) -> None:
    """Put back a header; its keys are those of the time it was made."""
    task = HeaderRestore(content=_read(file), source=str(file), force=force)
    done = ask("POST", volume_path(name, "tasks"), HeaderResult, task, alone=True)
    _print(
        f"The header of volume {name} is that of {file}; its keys: {', '.join(map(str, done.keys))}.",
        f"The one that was there before is kept in {done.before}",
    )


@app.command()
def forget(
    name: NameArgument,
    backups: Annotated[
        list[str] | None, typer.Argument(metavar="BACKUP", help="Names of twinlock header list; all if none.")
    ] = None,
) -> None:
    """Delete kept backups, with the removed keys in them; one of the header as it is now is kept."""
    task = HeaderForget(names=tuple(backups or ()))
    found = ask("POST", volume_path(name, "tasks"), HeadersResult, task, alone=True)
    _print("Deleted. Kept now:", *(_line(each) for each in found.kept))


# -- inside ---------------------------------------------------------------------------------------


def _line(kept: KeptHeader) -> str:
    if kept.reason is not None:
        return f"{kept.name}  cannot be used: {kept.reason}"
    return f"{kept.name}  keys {', '.join(map(str, kept.keys))}  {kept.path}"


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as source:
            content = source.read(LARGEST + 1)
    except OSError as error:
        raise HeaderBackupUnusable(path=file, reason=error.strerror) from error
    if len(content) > LARGEST:
        raise HeaderBackupUnusable(path=file, reason="it is larger than any header")
    return content


def _write(file: Path, content: bytes) -> None:
    """New, durable, for its owner alone; whatever cuts it off, FILE is empty or whole.

    The name is taken first, so that no file of somebody else's is replaced; hard links would do that
    too, but not on the file systems that sticks have.
    """
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        os.replace(_draft(file, content), file)
        sync_folder(file.parent)
    except BaseException:
        file.unlink()
        raise


def _draft(file: Path, content: bytes) -> str:
    """Where the content is, durably, beside the file that it is for."""
    number, draft = tempfile.mkstemp(prefix=f"{file.name}.", suffix=".part", dir=file.parent)
    try:
        with os.fdopen(number, "wb") as target:
            target.write(content)
            target.flush()
            os.fsync(target.fileno())
    except BaseException:
        os.unlink(draft)
        raise
    return draft


def _print(*lines: str) -> None:
    console = Console(highlight=False)
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
