"""What twinlock wrote, a stock kernel opens: nothing to resync, and every file there."""

from pathlib import Path

import pytest

from tests.vm import files, initiator, members, stack
from tests.vm.backup import Backup
from tests.vm.conftest import Guest
from tests.vm.rebuild import CHUNK, Kind, Rebuild

pytestmark = pytest.mark.vm


@pytest.mark.parametrize("block_size", [512, pytest.param(4096, marks=pytest.mark.long)])
def test_the_kernel_opens_what_an_initiator_filled(
    backup: Backup, guest: Guest, tmp_path: Path, block_size: int
) -> None:
    written = files.make_tree(tmp_path / "tree", seed=block_size)
    files.partitioned_image(tmp_path / "image", tmp_path / "tree", block_size)
    backup.create(block_size)
    initiator.upload(tmp_path / "image", backup.serve())
    backup.daemon.stop()

    with guest() as machine:
        machine.run(stack.BITMAP_CLEAR + stack.ASSEMBLE + stack.IN_SYNC + stack.OPEN)
        found = machine.run(stack.partitions(block_size) + stack.digests("/dev/loop0p1"))
        machine.run(stack.IDENTICAL)
    assert files.digests_in(found) == written


def test_the_kernel_resyncs_what_a_crash_left(backup: Backup, guest: Guest, tmp_path: Path) -> None:
    """Both daemon and worker are killed with a write unflushed; then that write is lost on one member."""
    flushed = files.random_file(tmp_path / "flushed", 8 * files.MIB)
    backup.create(512)
    with initiator.session(backup.serve()) as session:
        session.do(f"write -s {tmp_path / 'flushed'} 0 8M")
        session.do("flush")
        session.do("write -P 0x5a 96M 4M")
        backup.daemon.kill_all()
    members.spoil(backup.members[1], 96 * files.MIB, 4 * files.MIB)

    with guest() as machine:
        machine.run(stack.BITMAP_DIRTY + stack.ASSEMBLE + stack.RESYNCED + stack.IDENTICAL + stack.OPEN)
        assert machine.run(stack.digest_of_first(mebibytes=8)).split()[0] == flushed


@pytest.mark.long
@pytest.mark.parametrize("kind", Kind, ids=lambda kind: kind.name.lower())
def test_the_kernel_ends_a_rebuild_that_a_crash_cut_off(backup: Backup, guest: Guest, kind: Kind) -> None:
    """A write to what was copied already is lost on the member that was being filled."""
    rebuild = Rebuild(backup.members, kind)
    rebuild.mirror.write(CHUNK, b"kept" * 1024)
    rebuild.crash(CHUNK)
    with guest() as machine:
        machine.run(stack.ASSEMBLE + stack.RECOVERED + stack.IDENTICAL)


@pytest.mark.long
def test_the_kernel_goes_on_with_a_rebuild_that_was_stopped(backup: Backup, guest: Guest) -> None:
    rebuild = Rebuild(backup.members, Kind.ALL)
    rebuild.mirror.write(CHUNK, b"kept" * 1024)
    rebuild.mirror.close()
    with guest() as machine:
        machine.run(stack.ASSEMBLE + stack.RECOVERED + stack.IDENTICAL)
