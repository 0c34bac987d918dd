"""Holders, as sysfs and procfs show them: folders that look like theirs, and one real process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from twinlock.block import holders
from twinlock.block.file import FileDevice
from twinlock.block.holders import Holder, _Subject, find_holder
from twinlock.errors import MemberInUse
from twinlock.units import MIB


class Disk:
    """A block device 8:16 with folders in a made-up sysfs and procfs."""

    def __init__(self, root: Path) -> None:
        self.sysfs, self.procfs = root / "sys", root / "proc"
        self.folder = self.sysfs / "dev/block/8:16"
        self.put(self.folder / "dev", "8:16")
        self.put(self.procfs / "self/mountinfo", "1 0 8:1 / / rw - ext4 /dev/sda1 rw")
        self.put(self.procfs / "swaps", "Filename Type Size Used Priority")

    def put(self, file: Path, text: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")

    def found(self) -> Holder | None:
        status = os.stat_result((0o060660, 0, 0, 1, 0, 0, 0, 0, 0, 0), {"st_rdev": os.makedev(8, 16)})
        subject = _Subject("/dev/sdb", "/dev/sdb", status, self.sysfs, self.procfs)
        searches = (holders._mounted, holders._stacked, holders._swap, holders._loop)
        return next((holder for search in searches for holder in search(subject)), None)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def test_a_free_disk(disk: Disk) -> None:
    assert disk.found() is None


def test_a_mounted_disk(disk: Disk) -> None:
    disk.put(disk.procfs / "self/mountinfo", r"30 1 8:16 / /mnt/my\040disk rw - xfs /dev/sdb rw")
    assert disk.found() == Holder("the mount at /mnt/my disk", "umount '/mnt/my disk'")


def test_a_file_system_with_a_number_of_its_own(disk: Disk) -> None:
    disk.put(disk.procfs / "self/mountinfo", "30 1 0:44 / /data rw - btrfs /dev/sdb rw")
    assert disk.found() == Holder("the mount at /data", "umount /data")


def test_a_disk_with_a_mounted_partition(disk: Disk) -> None:
    disk.put(disk.folder / "sdb1/partition", "1")
    disk.put(disk.folder / "sdb1/dev", "8:17")
    disk.put(disk.procfs / "self/mountinfo", "30 1 8:17 / /home rw - ext4 /dev/sdb1 rw")
    assert disk.found() == Holder("the mount at /home", "umount /home")


@pytest.mark.parametrize("folder", ["holders", "sdb1/holders"])
def test_a_member_of_a_running_array(disk: Disk, folder: str) -> None:
    disk.put(disk.folder / "sdb1/partition", "1")
    disk.put(disk.folder / folder / "md127/dev", "9:127")
    (disk.sysfs / "class/block/md127/md").mkdir(parents=True)
    assert disk.found() == Holder("the array /dev/md127", "mdadm --stop /dev/md127")


@pytest.mark.parametrize(
    ("uuid", "expected"),
    [
        ("CRYPT-LUKS2-x", Holder("the encrypted mapping vault", "cryptsetup close vault")),
        ("LVM-x", Holder("the logical volume vault", "lvchange -an /dev/mapper/vault")),
        ("mpath-x", Holder("the mapping vault", "dmsetup remove vault")),
    ],
)
def test_a_mapped_disk(disk: Disk, uuid: str, expected: Holder) -> None:
    disk.put(disk.folder / "holders/dm-0/dev", "253:0")
    disk.put(disk.sysfs / "class/block/dm-0/dm/name", "vault")
    disk.put(disk.sysfs / "class/block/dm-0/dm/uuid", uuid)
    assert disk.found() == expected


def test_a_holder_of_another_kind(disk: Disk) -> None:
    disk.put(disk.folder / "holders/bcache0/dev", "252:0")
    assert disk.found() == Holder("/dev/bcache0", "lsblk /dev/bcache0")


def test_swap(disk: Disk) -> None:
    disk.put(disk.procfs / "swaps", "Filename Type Size Used Priority\n/dev/sdb partition 1 0 -2")
    assert disk.found() == Holder("swap", "swapoff /dev/sdb")


def test_a_file_behind_a_loop_device(tmp_path: Path) -> None:
    member = tmp_path / "member"
    member.touch()
    disk = Disk(tmp_path)
    disk.put(disk.sysfs / "block/loop7/loop/backing_file", str(member))
    found = find_holder(str(member), sysfs=disk.sysfs, procfs=disk.procfs)
    assert found == Holder("the loop device /dev/loop7", "losetup -d /dev/loop7")


def test_a_file_that_another_process_has_locked(tmp_path: Path) -> None:
    path = tmp_path / "member"
    script = (
        "import sys; from twinlock.block.file import FileDevice;"
        f"d = FileDevice.open(sys.argv[1], size={MIB}); print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(MemberInUse) as caught:
            FileDevice.open(path)
        assert f"process {other.pid} (" in str(caught.value)
        assert str(caught.value).endswith(f"free it with: kill {other.pid}")
        other.communicate()
    FileDevice.open(path).close()
