"""Containers for tests of keys: cheap to open, by twinlock and by stock cryptsetup."""

import subprocess
from pathlib import Path

from twinlock.errors import WrongPassphrase
from twinlock.luks import format_container
from twinlock.luks.backup import area_length
from twinlock.luks.container import PROBE_LENGTH
from twinlock.luks.device import Cost
from twinlock.luks.keyslots import add_key, opening_slot
from twinlock.luks.kinds import Kind, Note
from twinlock.luks.opening import Attempt
from twinlock.units import MIB

SIZE = 8 * MIB
CHEAP = Cost(0)
PASSPHRASE, KEY_FILE = Note(Kind.PASSPHRASE, 1000), Note(Kind.KEY_FILE, 2000)
FIRST, SECOND, THIRD = b"first", b"second", b"third"
STOCK = {
    "luks1": ["--type", "luks1", "--cipher", "aes-cbc-essiv:sha256", "--key-size", "256"],
    "luks2": ["--type", "luks2", "--pbkdf-memory", "32", "--luks2-keyslots-size", "2032K"],
}


def cryptsetup(*words: str | Path, secret: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Stock cryptsetup; ``secret`` is its standard input."""
    return subprocess.run(["cryptsetup", *words], input=secret, capture_output=True, check=False)


def stock_container(path: Path, kind: str, *more: str) -> None:
    """A file with a container by ``cryptsetup luksFormat``, opened by :data:`FIRST`."""
    path.write_bytes(bytes(SIZE))
    rounds = "1000" if kind == "luks1" else "4"
    done = cryptsetup(
        "luksFormat", "-q", *STOCK[kind], *more, "--pbkdf-force-iterations", rounds, "--key-file", "-", path,
        secret=FIRST,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def header_of(path: Path) -> bytes:
    """The header area of a container in a file."""
    content = path.read_bytes()
    return content[: area_length(content[:PROBE_LENGTH])]


def own_header() -> bytes:
    """The header area of a LUKS2 container of ours, opened by :data:`FIRST`."""
    new = format_container(size=SIZE, sector_size=512, passphrase=FIRST, iter_time_ms=0)
    return new.header


def with_key(header: bytes, secret: bytes, note: Note = PASSPHRASE) -> bytes:
    """The header with another key, added by :data:`FIRST`."""
    return add_key(
        header, array_size=SIZE, secret=FIRST, new_secret=secret, note=note, cost=CHEAP, attempt=Attempt("v")
    ).header


def opens(header: bytes, secret: bytes) -> bool:
    """Whether a key opens a header."""
    try:
        opening_slot(header, array_size=SIZE, secret=secret, attempt=Attempt("v"))
    except WrongPassphrase:
        return False
    return True


def stock_opens(path: Path, secret: bytes) -> bool:
    """Whether stock cryptsetup opens a container with a key; it needs no device mapper for that."""
    return not cryptsetup("open", "--test-passphrase", "--key-file", "-", path, secret=secret).returncode
