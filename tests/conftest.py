"""A daemon per test, and volumes that are quick to make."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.daemon import Daemon

settings.register_profile("unhurried", deadline=None)  # how long an example takes depends on the machine
settings.load_profile("unhurried")

PASSPHRASE = b"correct horse battery staple"
MakeVolume = Callable[..., str]


@pytest.fixture
def passphrase_file(tmp_path: Path) -> Path:
    path = tmp_path / "passphrase"
    path.write_bytes(PASSPHRASE + b"\n")
    return path


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A running daemon without volumes."""
    with Daemon(tmp_path / "root") as running:
        yield running


@pytest.fixture
def members(tmp_path: Path) -> list[Path]:
    """Two paths where nothing is yet."""
    return [tmp_path / "disk1.img", tmp_path / "disk2.img"]


@pytest.fixture
def make_volume(daemon: Daemon, members: list[Path], passphrase_file: Path) -> MakeVolume:
    """Makes an unlocked volume ``backup`` of 128 MiB members; returns its iSCSI URL."""

    def make(*options: str, size: str = "128M") -> str:
        key = (
            []
            if "--no-encryption" in options
            else ["--passphrase-file", str(passphrase_file), "--iter-time", "0"]
        )
        daemon.cli("create", "backup", *map(str, members), "--size", size, *key, *options)
        return daemon.iscsi_url("backup")

    return make
