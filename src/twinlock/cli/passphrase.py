"""Where a passphrase comes from: the terminal, a file, or standard input; never the command line."""

import getpass
import sys
from typing import Annotated

import typer
from pydantic import SecretBytes

from twinlock.errors import PassphraseUnusable

MAX_PASSPHRASE = 512
"""Bytes; what cryptsetup takes at its prompt, so that stock Linux opens the volume too."""

PassphraseFile = Annotated[
    str | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="Read the passphrase from FILE, or from standard input if FILE is -. "
        "One line end at its end does not count.",
    ),
]


def new_passphrase(file: str | None) -> SecretBytes:
    """A passphrase to be set: asked for twice at a terminal.  Raises PassphraseUnusable."""
    if file is not None:
        return _from_file(file)
    first = _ask("New passphrase: ")
    if _ask("The same again: ").get_secret_value() != first.get_secret_value():
        raise PassphraseUnusable(reason="the two that were typed differ")
    return first


def existing_passphrase(file: str | None) -> SecretBytes:
    """A passphrase to unlock with.  Raises PassphraseUnusable."""
    return _ask("Passphrase: ") if file is None else _from_file(file)


def _ask(prompt: str) -> SecretBytes:
    if sys.stdin is None or not sys.stdin.isatty():
        raise PassphraseUnusable(reason="there is no terminal to ask at; use --passphrase-file")
    try:
        return _checked(getpass.getpass(prompt).encode(errors="surrogateescape"))
    except UnicodeError:  # its text would quote the passphrase
        raise PassphraseUnusable(reason="it has characters that this terminal does not know") from None


def _from_file(file: str) -> SecretBytes:
    if file == "-" and sys.stdin is None:
        raise PassphraseUnusable(reason="standard input is closed")
    try:
        with open(0 if file == "-" else file, "rb", closefd=file != "-") as source:
            content = source.read(MAX_PASSPHRASE + 2)
    except OSError as error:
        raise PassphraseUnusable(reason=f"{file} cannot be read ({error.strerror})") from error
    return _checked(content.removesuffix(b"\n"))


def _checked(passphrase: bytes) -> SecretBytes:
    if not passphrase:
        raise PassphraseUnusable(reason="it is empty")
    if len(passphrase) > MAX_PASSPHRASE:
        raise PassphraseUnusable(reason=f"it is longer than {MAX_PASSPHRASE} bytes")
    return SecretBytes(passphrase)
