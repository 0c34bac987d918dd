"""The volumes that the suite runs against: which test wants which, and how it gets there."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.client import Client
from tests.support.daemon import TARGET_PREFIX, Daemon
from tests.support.digest_relay import DigestRelay
from tests.support.initiator import Credentials

PASSPHRASE = b"correct horse battery staple\n"
SIZE = "256M"
SECOND_HOST = "127.0.0.2"

VOLUMES: dict[str, tuple[str, ...]] = {
    "alone": (),
    "shared": ("--shared",),
    "protected": ("--read-only",),
    "native": ("--block-size", "4096"),
}
"""The volumes, with what ``twinlock create`` is told of them."""

WANTS: dict[str, str] = {
    "ReadOnly": "protected",
    "MultipathIO": "shared",
    "ProutReserve": "shared",
    "ProutPreempt": "shared",
    "Reserve6": "shared",
    "Sanitize": "shared",
    "GetLBAStatus.UnmapSingle": "native",
}
"""Suites, and tests, that need another volume than ``alone``.

Those of two initiators need a shared one.  ``GetLBAStatus.UnmapSingle`` expects an
answer for block i + LBPPB when it asks for block i + 1, which is right only where a
logical block is a physical one.
"""

EMPTY = {"MultipathIO.CompareAndWrite"}
"""Tests that take it for granted that the disk's first blocks are zeros; what a new volume holds is noise."""
EMPTY_BYTES = 1 << 20

IMPATIENT = {"iSCSITMF.LUNResetSimpleAsync"}
"""Tests that judge an answer before it can have come; ``await_answer.c`` lets them wait."""
_AWAIT_ANSWER = Path(__file__).with_name("await_answer.c")

MULTIPATH = "MultipathIO"
"""The suite that wants two portals."""


@dataclass(frozen=True, slots=True)
class Targets:
    """A daemon with all ``VOLUMES``; ``portals`` are its (host, port), or those of relays before it."""

    daemon: Daemon
    await_answer: Path
    portals: tuple[tuple[str, int], ...]

    def urls(self, name: str) -> list[str]:
        """One path to the disk for a test, or two."""
        paths = self.portals if _suite(name) == MULTIPATH else self.portals[:1]
        target = TARGET_PREFIX + _volume(name)
        return [f"iscsi://{host}:{port}/{target}/0" for host, port in paths]

    def prepare(self, name: str) -> None:
        """Bring the disk into the state that the test takes for granted."""
        if name in EMPTY:
            volume = _volume(name)
            credentials = Credentials(volume, self.daemon.secret(volume).encode())
            with Client(self.daemon.port, TARGET_PREFIX + volume, credentials) as client:
                client.write(0, bytes(EMPTY_BYTES))

    def environ(self, name: str) -> dict[str, str]:
        """The credentials of the test's volume, and what else the test needs."""
        preload = {"LD_PRELOAD": str(self.await_answer)} if name in IMPATIENT else {}
        return self.daemon.chap_environ(_volume(name)) | preload


@contextmanager
def serve(folder: Path, *, digests: bool) -> Iterator[Targets]:
    """All volumes, unlocked; with ``digests`` all headers and data on the wire to the target have CRC32Cs."""
    library = folder / "await_answer.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, _AWAIT_ANSWER], check=True)
    with ExitStack() as stack:
        daemon = Daemon(folder / "root")
        daemon.start("--portal", f"{SECOND_HOST}:{daemon.port}")
        stack.push(daemon.__exit__)
        for name, options in VOLUMES.items():
            _create(daemon, folder, name, options)
        portals = (("127.0.0.1", daemon.port), (SECOND_HOST, daemon.port))
        if not digests:
            yield Targets(daemon, library, portals)
            return
        relays = [stack.enter_context(DigestRelay(portal)) for portal in portals]
        yield Targets(daemon, library, tuple(relay.address for relay in relays))
        assert {digests for relay in relays for digests in relay.agreed} == {(True, True)}
        assert not [fault for relay in relays for fault in relay.faults]


def _suite(name: str) -> str:
    return name.partition(".")[0]


def _volume(name: str) -> str:
    return WANTS.get(name) or WANTS.get(_suite(name), "alone")


def _create(daemon: Daemon, folder: Path, name: str, options: tuple[str, ...]) -> None:
    key = folder / "passphrase"
    key.write_bytes(PASSPHRASE)
    members = [str(folder / f"{name}.{side}") for side in "ab"]
    secret = ("--passphrase-file", str(key), "--iter-time", "0")
    daemon.cli("create", name, *members, "--size", SIZE, *secret, *options)
    os.unlink(key)
