"""Arrays of every version of metadata: stock mdadm makes them, twinlock writes, a kernel takes them back."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.vm import files, lab
from twinlock.block.file import FileDevice
from twinlock.block.mirror.give_bitmap import give_bitmap
from twinlock.block.mirror.member import MemberState, read_member
from twinlock.block.mirror.mirror import Mirror
from twinlock.block.observer import SilentObserver
from twinlock.units import KIB, MIB

pytestmark = pytest.mark.vm

NOW = 1_790_000_000
BAD = 64 * KIB
"""Where the first member of the array with bad blocks has them, in bytes of the array."""


@dataclass(frozen=True)
class Kind:
    """One array: ``options`` for ``mdadm --create``, its number among the arrays of the guest."""

    number: int
    version: str
    options: str
    bad_blocks: bool = False

    @property
    def disks(self) -> str:
        first, second = (chr(ord("a") + 2 * self.number + which) for which in range(2))
        return f"/dev/vd{first} /dev/vd{second}"

    @property
    def device(self) -> str:
        return f"/dev/md{self.number}"


INTERNAL, NONE = "--bitmap=internal", "--bitmap=none"
KINDS = [
    Kind(0, "0.90", INTERNAL),
    Kind(1, "1.0", INTERNAL),
    Kind(2, "1.1", INTERNAL),
    Kind(3, "1.2", INTERNAL, bad_blocks=True),
    Kind(4, "0.90", NONE),
    Kind(5, "1.0", NONE),
    Kind(6, "1.2", NONE),
    Kind(7, "1.0", f"{INTERNAL} --bitmap-chunk=64K"),
    Kind(8, "0.90", f"{INTERNAL} --bitmap-chunk=64K --write-mostly"),
]


def create(kind: Kind) -> str:
    sync = f"/sys/block/md{kind.number}/md"
    script = f"""
mdadm --create {kind.device} --run --level=1 --raid-devices=2 --metadata={kind.version} {kind.options} \
    {kind.disks}
until test "$(cat {sync}/sync_action) $(cat {sync}/resync_start)" = "idle none"; do sleep 0.1; done
dd if=/dev/urandom of={kind.device} bs=1M count=8 oflag=direct status=none
"""
    if kind.bad_blocks:
        first = kind.disks.split()[0].removeprefix("/dev/")
        script += f"""
start=$(cat /sys/block/md{kind.number}/md/dev-{first}/offset)
echo "$((start + {BAD // 512})) 16" > /sys/block/md{kind.number}/md/dev-{first}/bad_blocks
dd if=/dev/zero of={kind.device} bs=64K seek=256 count=1 oflag=direct status=none     # a commit
"""
    return script + f"head -c 8M {kind.device} | sha256sum\nmdadm --stop {kind.device}\n"


def take_back(kind: Kind) -> str:
    number = kind.number
    return f"""
mdadm --examine {kind.disks} | grep -E 'Checksum' | grep -v correct && exit 1
mdadm --examine {kind.disks} | grep -E 'State : ' | grep -v clean | grep -v Array && exit 1
for disk in {kind.disks}; do mdadm --examine-bitmap $disk | grep 'chunks), 0 dirty'; done
mdadm --assemble {kind.device} {kind.disks}
mdadm --readwrite {kind.device}
test "$(cat /sys/block/md{number}/md/sync_action)" = idle
test "$(cat /sys/block/md{number}/md/degraded)" = 0
test "$(cat /sys/block/md{number}/md/bitmap/location)" != none
test -z "$(cat /sys/block/md{number}/md/dev-*/bad_blocks)"
if dmesg | grep -E 'md: (resync|recovery) of RAID array md{number}$'; then exit 1; fi
echo check > /sys/block/md{number}/md/sync_action
until test "$(cat /sys/block/md{number}/md/sync_action)" = idle; do sleep 0.1; done
test "$(cat /sys/block/md{number}/md/mismatch_cnt)" = 0
head -c 8M {kind.device} | sha256sum
mdadm --stop {kind.device}
"""


@pytest.fixture
def disks(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"disk{number}" for number in range(2 * len(KINDS))]
    for path in paths:
        files.sparse(path, 64 * MIB)
    return paths


def of(kind: Kind, disks: list[Path]) -> list[Path]:
    return disks[2 * kind.number : 2 * kind.number + 2]


def digests(output: str) -> Iterator[str]:
    return (line.split()[0] for line in output.splitlines() if line.endswith("  -"))


@pytest.mark.long
def test_every_version_there_and_back(artefacts: lab.Artefacts, disks: list[Path], tmp_path: Path) -> None:
    with lab.switched_on(artefacts, tmp_path / "first", disks) as machine:
        output = machine.run("modprobe -a raid1\n" + "".join(map(create, KINDS)), timeout=400)
    made = dict(zip(KINDS, digests(output), strict=True))
    written = {kind: rewrite(of(kind, disks), kind, made[kind]) for kind in KINDS}
    with lab.switched_on(artefacts, tmp_path / "second", disks) as machine:
        output = machine.run("modprobe -a raid1\n" + "".join(map(take_back, KINDS)), timeout=400)
    assert dict(zip(KINDS, digests(output), strict=True)) == written


def rewrite(paths: list[Path], kind: Kind, expected: str) -> str:
    """Read what the guest wrote, write something of our own, stop; returns the digest of it all."""
    members = [read_member(FileDevice.open(path), need_bitmap=False) for path in paths]
    assert [member.metadata.version for member in members] == [kind.version] * 2
    assert [bool(member.bad_blocks) for member in members] == [kind.bad_blocks, False]
    if NONE in kind.options:
        give_bitmap(members, NOW)
    mirror = Mirror.assemble(members, expected_uuid=None, clock=lambda: NOW, observer=SilentObserver())
    found = bytes(mirror.read(0, 8 * MIB))
    assert hashlib.sha256(found).hexdigest() == expected, kind
    mirror.write(MIB, b"twinlock" * 128 * KIB)
    mirror.flush()
    assert {member.state for member in mirror.status().members} == {MemberState.IN_SYNC}
    mirror.close()
    return hashlib.sha256(found[:MIB] + b"twinlock" * 128 * KIB + found[2 * MIB :]).hexdigest()
