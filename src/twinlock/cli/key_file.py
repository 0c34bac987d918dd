"""What unlocks a volume: a passphrase, or a key file, read as cryptsetup reads it; never the command line."""

import io
from typing import Annotated, BinaryIO

import typer
from pydantic import SecretBytes

from twinlock.cli.passphrase import existing_passphrase, new_passphrase
from twinlock.errors import BadOption, PassphraseUnusable
from twinlock.server.key_tasks import LONGEST_KEY
from twinlock.units import MIB

KeyFile = Annotated[
    str | None,
    typer.Option(
        "--key-file",
        metavar="FILE",
        help="Use the content of FILE as the key, every byte of it (up to 8 MiB); - is standard input.",
    ),
]
KeyFileOffset = Annotated[
    int | None,
    typer.Option("--keyfile-offset", min=0, help="Leave out that many bytes at the key file's start."),
]
KeyFileSize = Annotated[
    int | None, typer.Option("--keyfile-size", min=1, help="Use that many bytes of the key file, not all.")
]
NewPassphraseFile = Annotated[
    str | None,
    typer.Option(
        "--new-passphrase-file",
        metavar="FILE",
        help="Read the new passphrase from FILE, without its line end.",
    ),
]
NewKeyFile = Annotated[
    str | None,
    typer.Option(
        "--new-key-file", metavar="FILE", help="The content of FILE is the new key, every byte of it."
    ),
]
NewKeyFileOffset = Annotated[
    int | None, typer.Option("--new-keyfile-offset", min=0, help="As --keyfile-offset, of the new key file.")
]
NewKeyFileSize = Annotated[
    int | None, typer.Option("--new-keyfile-size", min=1, help="As --keyfile-size, of the new key file.")
]


def existing_secret(
    passphrase_file: str | None, key_file: str | None, offset: int | None, size: int | None
) -> SecretBytes:
    """A key that the volume has.  Raises PassphraseUnusable, BadOption."""
    _check("", passphrase_file, key_file, offset, size)
    return existing_passphrase(passphrase_file) if key_file is None else read_key_file(key_file, offset, size)


def new_secret(
    passphrase_file: str | None, key_file: str | None, offset: int | None, size: int | None
) -> SecretBytes:
    """A key to be set; a passphrase is asked for twice.  Raises PassphraseUnusable, BadOption."""
    _check("new-", passphrase_file, key_file, offset, size)
    return new_passphrase(passphrase_file) if key_file is None else read_key_file(key_file, offset, size)


def read_key_file(path: str, offset: int | None, size: int | None) -> SecretBytes:
    """The content of a key file from ``offset``, ``size`` bytes or all; raises PassphraseUnusable."""
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            _skip(file, offset or 0)
            content = file.read(LONGEST_KEY + 1 if size is None else min(size, LONGEST_KEY + 1))
    except OSError as error:
        raise PassphraseUnusable(reason=f"key file {path} cannot be read ({error.strerror})") from error
    if len(content) > LONGEST_KEY:
        reason = f"key file {path} has more than {LONGEST_KEY // MIB} MiB; use a part of it: --keyfile-size"
        raise PassphraseUnusable(reason=reason)
    if not content or len(content) < (size or 0):
        lacking = "has not that many bytes" if offset or size else "is empty"
        raise PassphraseUnusable(reason=f"key file {path} {lacking}")
    return SecretBytes(content)


def _skip(file: BinaryIO, count: int) -> None:
    """Also where one cannot seek."""
    while count > 0 and (part := file.read(min(count, io.DEFAULT_BUFFER_SIZE))):
        count -= len(part)


def _check(prefix: str, passphrase_file: str | None, key_file: str | None, *parts: int | None) -> None:
    if passphrase_file is not None and key_file is not None:
        raise BadOption(option=f"--{prefix}key-file", reason=f"--{prefix}passphrase-file is given, too")
    if key_file is None and any(part is not None for part in parts):
        raise BadOption(option=f"--{prefix}keyfile-...", reason=f"it needs --{prefix}key-file")


def refuse_one_input(*files: str | None) -> None:
    """Raise BadOption if two secrets are to come from standard input, which is read to its end once."""
    if files.count("-") > 1:
        raise BadOption(option="-", reason="standard input can be one of the two only")
