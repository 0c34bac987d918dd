"""``twinlock key``: who can unlock a volume."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console

from twinlock.cli.client import ask, volume_path
from twinlock.cli.commands.create import IterTimeOption
from twinlock.cli.key_file import (
    KeyFile,
    KeyFileOffset,
    KeyFileSize,
    NewKeyFile,
    NewKeyFileOffset,
    NewKeyFileSize,
    NewPassphraseFile,
    existing_secret,
    new_secret,
    refuse_one_input,
)
from twinlock.cli.passphrase import PassphraseFile
from twinlock.server.key_tasks import (
    HeaderForget,
    HeadersResult,
    KeyAdd,
    KeyChange,
    KeyFacts,
    KeyList,
    KeyRemove,
    KeyResult,
    KeysResult,
    KeyTest,
)
from twinlock.units import format_size

app = typer.Typer(help="Passphrases and key files that unlock a volume.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The volume.")]
_DERIVING = "Deriving keys takes some seconds ..."


@app.command("list")
def list_(
    name: NameArgument, json: Annotated[bool, typer.Option("--json", help="For programs.")] = False
) -> None:
    """Show the keys of a volume."""
    found = ask("POST", volume_path(name, "tasks"), KeysResult, KeyList(), alone=True)
    if json:
        typer.echo(found.model_dump_json(indent=2))
        return
    _print(*_account(name, found))


@dataclass(frozen=True, slots=True)
class _Setting:
    """A command that sets a secret: its help, what it asks for, what it says when that is done."""

    help: str
    task: type[KeyAdd] | type[KeyChange]
    done: str


_SETTINGS = {
    "add": _Setting(
        "Add a passphrase or a key file; one that the volume has already is needed for that.",
        KeyAdd,
        "Key {number} is added, a {kind}",
    ),
    "change": _Setting(
        "Put another passphrase or key file in place of one.", KeyChange, "Key {number} is a new {kind}"
    ),
}


def _setter(setting: _Setting) -> Callable[..., None]:
    """The command; both have the same options, of the secret that is known and of the new one."""

    def run(
        name: NameArgument,
        passphrase_file: PassphraseFile = None,
        key_file: KeyFile = None,
        keyfile_offset: KeyFileOffset = None,
        keyfile_size: KeyFileSize = None,
        new_passphrase_file: NewPassphraseFile = None,
        new_key_file: NewKeyFile = None,
        new_keyfile_offset: NewKeyFileOffset = None,
        new_keyfile_size: NewKeyFileSize = None,
        iter_time: IterTimeOption = None,
    ) -> None:
        refuse_one_input(passphrase_file, key_file, new_passphrase_file, new_key_file)
        _refuse_unknown(name)
        task = setting.task(
            secret=existing_secret(passphrase_file, key_file, keyfile_offset, keyfile_size),
            new_secret=new_secret(new_passphrase_file, new_key_file, new_keyfile_offset, new_keyfile_size),
            new_is_file=new_key_file is not None,
            iter_time=iter_time,
        )
        done = _carry_out(name, task)
        told = setting.done.format(number=done.number, kind=done.kind)
        _print(f"{told}; it was tried, and opens volume {name}.", *done.remarks)
        if setting.task is KeyChange:
            _old_backups(name, done.backups, "the old key", forget=False)

    return run


for _word, _setting in _SETTINGS.items():
    app.command(_word, help=_setting.help)(_setter(_setting))


@app.command()
def remove(
    name: NameArgument,
    number: Annotated[int, typer.Argument(help="Its number; twinlock key list shows them.")],
    force: Annotated[
        bool, typer.Option("--force", help="Even the last one: the data are lost then.")
    ] = False,
    forget_backups: Annotated[
        bool, typer.Option("--forget-backups", help="Delete the header's backups, in which it still is.")
    ] = False,
) -> None:
    """Remove a key: what it was does not open the volume any more."""
    done = _carry_out(name, KeyRemove(number=number, force=force))
    _print(f"Key {done.number} of volume {name} is removed.", *done.remarks)
    _old_backups(name, done.backups, "the removed key", forget=forget_backups)


@app.command("test")
def try_(
    name: NameArgument,
    number: Annotated[int | None, typer.Option("--number", help="Try this key only.")] = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    keyfile_offset: KeyFileOffset = None,
    keyfile_size: KeyFileSize = None,
) -> None:
    """Say which key of the volume a passphrase or key file is; nothing is changed."""
    _refuse_unknown(name)
    secret = existing_secret(passphrase_file, key_file, keyfile_offset, keyfile_size)
    done = _carry_out(name, KeyTest(secret=secret, number=number))
    _print(f"It opens key {done.number} of volume {name}{_kind(done.kind)}.")


# -- inside ---------------------------------------------------------------------------------------


def _carry_out(name: str, task: KeyAdd | KeyChange | KeyRemove | KeyTest) -> KeyResult:
    with Console().status(_DERIVING):
        return ask("POST", volume_path(name, "tasks"), KeyResult, task, alone=True)


def _refuse_unknown(name: str) -> None:
    """Raise what is wrong with the volume, before anybody types a passphrase twice."""
    ask("POST", volume_path(name, "tasks"), KeysResult, KeyList(), alone=True)


def _old_backups(name: str, count: int, what: str, *, forget: bool) -> None:
    """Say that backups outlive keys, and delete them if that is wanted."""
    if not count:
        return
    _print(f"{count} kept backup(s) of the header, and those made elsewhere, still open with {what}.")
    if forget or (sys.stdin is not None and sys.stdin.isatty() and typer.confirm("Delete the kept ones?")):
        ask("POST", volume_path(name, "tasks"), HeadersResult, HeaderForget(), alone=True)
        _print("They are deleted; one of the header as it is now is kept.")
    else:
        _print(f"To delete the kept ones: twinlock header forget {name}")


def _account(name: str, found: KeysResult) -> list[str]:
    lines = [f"Volume {name}: LUKS{found.version}, {len(found.keys)} of {found.places} keys"]
    lines += [f"  {each.number:>2}  {', '.join(_facts(each))}" for each in found.keys]
    if not found.knows_kinds:
        lines.append("LUKS1 does not say which keys are passphrases and which are key files.")
    return [*lines, f"{found.backups} backup(s) of the header are kept; see twinlock header list {name}"]


def _facts(key: KeyFacts) -> list[str]:
    since = [] if key.since is None else [time.strftime("since %Y-%m-%d", time.localtime(key.since))]
    facts = ["passphrase or key file" if key.kind == "unknown" else key.kind, _cost(key), *since]
    facts += [f"used by {token}" for token in key.tokens]
    if not key.bound:
        facts.append("does not open this volume's data")
    if key.ignored:
        facts.append("of priority 'ignore': not tried by unlock")
    if not key.fits:
        facts.append("NEEDS MORE MEMORY than is free here")
    return facts


def _cost(key: KeyFacts) -> str:
    if not key.memory:
        return f"{key.kdf} with {key.iterations} rounds"
    return f"{key.kdf} with {format_size(key.memory)}, {key.iterations} passes, {key.threads} thread(s)"


def _kind(kind: str) -> str:
    return "" if kind == "unknown" else f", a {kind}"


def _print(*lines: str) -> None:
    console = Console(highlight=False)
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
