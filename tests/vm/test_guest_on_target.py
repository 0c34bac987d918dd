"""A guest whose disk is the volume: QEMU logs in and passes the guest's SCSI commands on unchanged."""

from pathlib import Path

import pytest

from tests.support import qemu
from tests.vm import files, lab
from tests.vm.backup import Backup

pytestmark = [pytest.mark.vm, pytest.mark.long]

IDENTITY = """
modprobe -a virtio_scsi sd_mod sg ext4
until test -b /dev/sda; do sleep 0.05; done
test "$(tr -d ' ' < /sys/block/sda/device/vendor)" = TWINLOCK
test "$(blockdev --getss /dev/sda)" = {block_size}
test "$(cat /sys/block/sda/queue/write_cache)" = "write back"
test "$(cat /sys/block/sda/queue/discard_max_bytes)" -gt 0
"""

FILL = """
mkfs.ext4 -q -b 4096 -E lazy_itable_init=0,lazy_journal_init=0 /dev/sda
mount /dev/sda /mnt
cp -r tree/. /mnt
cp -r tree/folder-0 /mnt/given-up
sync
rm -r /mnt/given-up
fstrim /mnt         # nothing but what was given up may go
dd if=/dev/urandom of=/mnt/direct bs=64k count=64 oflag=direct
sync
(cd /mnt && find . -type f -print0 | sort -z | xargs -0 sha256sum)
umount /mnt
"""

INSTALL = """
mkfs.ext4 -q -b 4096 -E lazy_itable_init=0,lazy_journal_init=0 /dev/sda
mount /dev/sda /mnt
for each in /bin /sbin /lib /lib64 /usr /etc /init; do cp -a $each /mnt; done
touch /mnt/root-is-here
umount /mnt
"""

ON_THE_VOLUME = """
test -e /root-is-here
grep -E '^/dev/sda / ext4 rw' /proc/mounts >&2
dd if=/dev/urandom of=/written bs=1M count=8 conv=fsync status=none
sha256sum /written
"""


@pytest.mark.parametrize("block_size", [512, 4096])
def test_files_survive_the_lock(
    backup: Backup, artefacts: lab.Artefacts, tmp_path: Path, block_size: int
) -> None:
    backup.create(block_size, chap="auto")
    backup.serve()
    with lab.switched_on(artefacts, tmp_path / "first", [backup.disk()]) as machine:
        given = files.make_tree(machine.share / "tree", seed=block_size)
        machine.run(IDENTITY.format(block_size=block_size))
        written = files.digests_in(machine.run(FILL))
    assert given.items() <= written.items()
    assert len(written) == len(given) + 1

    backup.reopen()
    qemu.download(backup.disk(), tmp_path / "image")
    assert files.extract(tmp_path / "image", tmp_path / "found") == written


def test_a_machine_runs_from_the_volume(backup: Backup, artefacts: lab.Artefacts, tmp_path: Path) -> None:
    """Its root is there: all programs that it runs are read from it, and what it writes is kept."""
    backup.create(512, chap="auto", size="256M")
    backup.serve()
    with lab.switched_on(artefacts, tmp_path / "install", [backup.disk()]) as machine:
        machine.run(IDENTITY.format(block_size=512) + INSTALL)
    backup.reopen()
    with lab.switched_on(artefacts, tmp_path / "run", [backup.disk()], root="/dev/sda") as machine:
        written = machine.run(ON_THE_VOLUME).split()[0]
    backup.reopen()
    qemu.download(backup.disk(), tmp_path / "image")
    assert files.extract(tmp_path / "image", tmp_path / "found")["written"] == written
