"""The matrix: every block size with every way to log in and every choice of digests.

One daemon serves a volume for each block size and way to log in; a cell of the matrix is such a
volume seen through a relay, which adds data digests for initiators that have none and notes what the
two agreed on.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from itertools import product
from pathlib import Path

from tests.conftest import PASSPHRASE
from tests.support.daemon import TARGET_PREFIX, Daemon
from tests.support.digest_relay import DigestRelay
from tests.support.qemu import IscsiDisk

SIZE = "32M"


class Login(Enum):
    """Who proves who it is: nobody, the initiator, or both; the value is the volume's option."""

    NONE = "none"
    CHAP = "auto"
    MUTUAL = "mutual"


class Digests(Enum):
    """CRC32C of headers, of data."""

    NONE = (False, False)
    HEADER = (True, False)
    DATA = (False, True)
    BOTH = (True, True)

    @property
    def header(self) -> bool:
        return self.value[0]

    @property
    def data(self) -> bool:
        return self.value[1]


@dataclass(frozen=True, slots=True)
class Cell:
    """One case."""

    block_size: int
    login: Login
    digests: Digests

    @property
    def volume(self) -> str:
        """The volume that is used."""
        return f"{self.login.name.lower()}-{self.block_size}"

    def __str__(self) -> str:
        return f"{self.block_size}-{self.login.name}-{self.digests.name}".lower()


CELLS = [Cell(*each) for each in product((512, 4096), Login, Digests)]


class Volumes:
    """The volumes of the cells, made as they are asked for, with their daemon in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.daemon = Daemon(folder / "root")
        self._passphrase = folder / "passphrase"
        self._passphrase.write_bytes(PASSPHRASE)
        self.sizes: dict[str, int] = {}
        """Bytes of each volume's disk."""

    @contextmanager
    def attach(self, cell: Cell) -> Iterator["Attached"]:
        """The cell's volume for initiators; afterwards each session must have had the cell's digests."""
        if cell.volume not in self.sizes:
            self.create(cell.volume, "--block-size", str(cell.block_size), "--chap", cell.login.value)
        portal, digests = ("127.0.0.1", self.daemon.port), cell.digests
        with DigestRelay(portal, header_digest=digests.header, data_digest=digests.data) as relay:
            yield Attached(self, cell, relay)
            assert relay.agreed, "nobody logged in"
            assert set(relay.agreed) == {digests.value}
            assert bool(relay.used) == digests.data
            assert not relay.faults, relay.faults

    def reopen(self, name: str) -> None:
        """Lock and unlock a volume: nothing but its members keeps what it holds."""
        self.daemon.cli("lock", name)
        self.daemon.cli("unlock", name, "--passphrase-file", str(self._passphrase))

    def create(self, name: str, *options: str) -> None:
        """Make and unlock a volume."""
        members = [str(self._folder / f"{name}.{side}") for side in "ab"]
        key = ("--passphrase-file", str(self._passphrase), "--iter-time", "0")
        self.daemon.cli("create", name, *members, "--size", SIZE, *key, *options)
        self.sizes[name] = int(self.daemon.status(name)["open"]["size"])

    def secret_file(self, name: str) -> Path:
        """The CHAP secret, alone in a file."""
        path = self._folder / f"{name}.secret"
        path.write_text(self.daemon.secret(name))
        return path


@dataclass(frozen=True, slots=True)
class Attached:
    """A cell's volume, and how initiators get at it."""

    volumes: Volumes
    cell: Cell
    relay: DigestRelay

    @property
    def target(self) -> str:
        """Its name."""
        return TARGET_PREFIX + self.cell.volume

    @property
    def size(self) -> int:
        """Bytes."""
        return self.volumes.sizes[self.cell.volume]

    @property
    def url(self) -> str:
        """For libiscsi's tools, with :meth:`environ`."""
        host, port = self.relay.address
        digest = "crc32c" if self.cell.digests.header else "none"
        return f"iscsi://{host}:{port}/{self.target}/0?header_digest={digest}"

    def environ(self) -> dict[str, str]:
        """The environment in which libiscsi's tools log in."""
        if self.cell.login is Login.NONE:
            return dict(os.environ)
        return self.volumes.daemon.chap_environ(self.cell.volume)

    def disk(self) -> IscsiDisk:
        """For QEMU, which asks no target to prove who it is."""
        bare = IscsiDisk(self.relay.address, self.target, header_digest=self.cell.digests.header)
        if self.cell.login is Login.NONE:
            return bare
        secret = self.volumes.secret_file(self.cell.volume)
        return IscsiDisk(bare.portal, bare.target, self.cell.volume, secret, bare.header_digest)
