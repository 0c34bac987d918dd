"""What stock mdadm and cryptsetup made is imported; the guest then sees what was written since."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.vm import files, initiator, stack
from tests.vm.backup import NAME, Backup
from tests.vm.conftest import Guest
from tests.vm.lab.tools import run
from twinlock.block.signatures import partitions as partitions_of

pytestmark = pytest.mark.vm

PLAIN = "/dev/md0"
MAPPED = "/dev/mapper/backup"
PBKDF2 = "--pbkdf-force-iterations 1000"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the array was made, and what lies in it."""

    metadata: str
    luks: str | None
    """Options of ``cryptsetup luksFormat``; None: no container."""
    partitions: bool = False
    bitmap: str = "none"

    @property
    def members(self) -> str:
        return "/dev/vda1 /dev/vdb1" if self.partitions else "/dev/vda /dev/vdb"

    @property
    def filesystem(self) -> str:
        return PLAIN if self.luks is None else MAPPED

    @property
    def unlock(self) -> str:
        return "" if self.luks is None else "cryptsetup open --key-file passphrase /dev/md0 backup"

    @property
    def close(self) -> str:
        return "" if self.luks is None else "cryptsetup close backup"

    def make(self) -> str:
        encrypt = "" if self.luks is None else f"cryptsetup luksFormat -q {self.luks} /dev/md0 passphrase"
        return f"""
{stack.MODULES}
mdadm --create /dev/md0 --run --level=1 --raid-devices=2 --metadata={self.metadata} \
    --bitmap={self.bitmap} {self.members}
{stack.SETTLED}
{encrypt}
{self.unlock}
mkfs.ext4 -q -b 4096 -E lazy_itable_init=0,lazy_journal_init=0 {self.filesystem}
mount {self.filesystem} /mnt
cp -r tree/. /mnt
sync
umount /mnt
{self.close}
mdadm --stop /dev/md0
"""

    def open(self) -> str:
        return f"""
{stack.MODULES}
mdadm --assemble /dev/md0 {self.members}
mdadm --readwrite /dev/md0
{stack.IN_SYNC}
{self.unlock}
"""


RECIPES = {
    "2009": Recipe("0.90", f"--type luks1 --cipher aes-cbc-essiv:sha256 --key-size 256 {PBKDF2}"),
    "1.0": Recipe("1.0", f"--type luks2 --pbkdf pbkdf2 {PBKDF2}", bitmap="internal"),
    "plain": Recipe("1.2", None, bitmap="internal"),
    "partitions": Recipe("1.1", f"--type luks2 --pbkdf pbkdf2 {PBKDF2}", partitions=True),
}


@contextmanager
def _attached(backup: Backup, *, partitions: bool) -> Iterator[list[str]]:
    """The members' paths: files, or loop devices of the bytes of their first partitions."""
    if not partitions:
        yield [str(member) for member in backup.members]
        return
    loops: list[str] = []
    try:
        for member in backup.members:
            (first,) = partitions_of(str(member))
            part = ("--offset", first.start, "--sizelimit", first.size)
            loops.append(run("losetup", "--find", "--show", *part, member).strip())
        yield loops
    finally:
        for loop in loops:
            run("losetup", "--detach", loop)


def _import(backup: Backup, members: list[str], *, encrypted: bool) -> str:
    """By the real command; the URL of what is served."""
    file = backup.members[0].with_name("key")
    file.write_bytes(stack.PASSPHRASE)
    key = ["--passphrase-file", str(file)] if encrypted else []
    backup.daemon.start()
    backup.daemon.cli("import", *members, "--name", NAME, "--yes", "--chap", "none", *key)
    opened = backup.daemon.await_unlocked(NAME)["open"]
    assert not opened["degraded"]
    assert opened["clean"]
    return backup.daemon.iscsi_url(NAME)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.long) for name in RECIPES],
)
def test_there_and_back(backup: Backup, guest: Guest, tmp_path: Path, name: str) -> None:
    recipe = RECIPES[name]
    for member in backup.members:
        files.sparse(member, 128 * files.MIB)
        if recipe.partitions:
            run("sfdisk", "-q", member, typed="label: dos\n,100M,fd\n")
    with guest() as machine:
        kept = files.make_tree(machine.share / "tree", seed=9)
        machine.run(recipe.make())

    image = tmp_path / "image"
    with _attached(backup, partitions=recipe.partitions) as members:
        url = _import(backup, members, encrypted=recipe.luks is not None)
        initiator.download(url, image)
        assert files.extract(image, tmp_path / "found") == kept
        kept |= files.add(image, tmp_path / "added", seed=7)
        initiator.upload(image, url)
        backup.daemon.stop()

    with guest() as machine:
        machine.run(recipe.open())
        found = machine.run(stack.digests(recipe.filesystem))
        machine.run(stack.IDENTICAL)
    assert files.digests_in(found) == kept
