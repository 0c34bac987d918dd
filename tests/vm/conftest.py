"""The ``backup`` under test, and the ``guest`` that judges what is on its members."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.vm import lab
from tests.vm.backup import Backup
from tests.vm.stack import PASSPHRASE

Guest = Callable[[], AbstractContextManager[lab.Machine]]


@pytest.fixture(scope="session")
def artefacts() -> lab.Artefacts:
    """Kernel and ramdisk; the first run on a machine builds them."""
    return lab.build()


@pytest.fixture
def backup(tmp_path: Path) -> Iterator[Backup]:
    """The volume; no process of it outlives the test."""
    backup = Backup(tmp_path)
    yield backup
    backup.daemon.kill_all()


@pytest.fixture
def guest(artefacts: lab.Artefacts, backup: Backup, tmp_path: Path) -> Guest:
    """``with guest() as machine``: a guest with the backup's members, and the passphrase in /share."""
    boots = 0

    @contextmanager
    def switch_on() -> Iterator[lab.Machine]:
        nonlocal boots
        boots += 1
        with lab.switched_on(artefacts, tmp_path / f"guest-{boots}", backup.members) as machine:
            (machine.share / "passphrase").write_bytes(PASSPHRASE)
            yield machine

    return switch_on
