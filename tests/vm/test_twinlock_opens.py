"""What stock mdadm and cryptsetup made, twinlock serves; and they take back what was written through it."""

from pathlib import Path

import pytest

from tests.vm import files, initiator, members, stack
from tests.vm.backup import Backup
from tests.vm.conftest import Guest

pytestmark = pytest.mark.vm

COPY = """
cp -r tree/. /mnt
sync
"""

UNFLUSHED = """
dd if=/dev/urandom of=/dev/mapper/backup bs=1M seek=80 count=4 oflag=direct
"""


@pytest.mark.long
@pytest.mark.parametrize(("sector_size", "key_derivation"), [(512, "argon2id"), (4096, "pbkdf2")])
def test_there_and_back(
    backup: Backup, guest: Guest, tmp_path: Path, sector_size: int, key_derivation: str
) -> None:
    _empty(backup)
    with guest() as machine:
        kept = files.make_tree(machine.share / "tree", seed=sector_size)
        machine.run(stack.create(sector_size, key_derivation) + COPY + stack.CLOSE)
    backup.take_over()

    url, image = backup.serve(), tmp_path / "image"
    initiator.download(url, image)
    assert files.extract(image, tmp_path / "found") == kept
    kept |= files.add(image, tmp_path / "added", seed=7)
    initiator.upload(image, url)
    backup.daemon.stop()

    with guest() as machine:
        machine.run(stack.BITMAP_CLEAR + stack.ASSEMBLE + stack.IN_SYNC + stack.OPEN)
        found = machine.run(stack.digests("/dev/mapper/backup"))
        machine.run(stack.IDENTICAL)
    assert files.digests_in(found) == kept


@pytest.mark.long
def test_twinlock_resyncs_what_a_crash_left(backup: Backup, guest: Guest, tmp_path: Path) -> None:
    """The machine loses its power with a write unflushed; then that write is lost on one member."""
    _empty(backup)
    with guest() as machine:
        kept = files.make_tree(machine.share / "tree", seed=3)
        machine.run(stack.create(512, "pbkdf2") + COPY)
        machine.run(UNFLUSHED)
        machine.cut_power()
    members.spoil(backup.members[1], 80 * files.MIB, 4 * files.MIB)
    backup.take_over()

    url = backup.serve()
    backup.wait_until_clean()
    initiator.download(url, tmp_path / "image")
    backup.daemon.stop()
    files.replay_journal(tmp_path / "image")
    assert files.extract(tmp_path / "image", tmp_path / "found") == kept

    with guest() as machine:
        machine.run(stack.BITMAP_CLEAR + stack.ASSEMBLE + stack.IN_SYNC + stack.IDENTICAL)


def _empty(backup: Backup) -> None:
    for member in backup.members:
        files.sparse(member, 128 * files.MIB)
