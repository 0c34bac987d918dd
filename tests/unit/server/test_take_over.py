"""What may be taken over is told apart from what may not, by name; and what was refused is as it was."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretBytes

from tests.conftest import PASSPHRASE
from tests.support import foreign
from tests.unit.block.formats import make_array
from twinlock.block.file import FileDevice
from twinlock.block.memory import MemoryDevice
from twinlock.block.mirror.member import read_member
from twinlock.block.mirror.mirror import Mirror
from twinlock.block.mirror.superblock import Feature
from twinlock.block.observer import SilentObserver
from twinlock.block.signatures import Signature
from twinlock.errors import (
    ArrayUnsupported,
    CannotImport,
    ContainerUnsupported,
    MemberInUse,
    MemberMissing,
    MemberNamedTwice,
    MemberOfOtherArray,
    MembersDiverged,
    NotAMember,
    NotPossibleNow,
    TwinlockError,
    WrongPassphrase,
)
from twinlock.server.takeover import kinds
from twinlock.server.takeover.facts import Found, Import
from twinlock.server.takeover.take_over import take_over


class Bench:
    """A folder for disks, and the request that looks at them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder / "key"
        self.key.write_bytes(PASSPHRASE)

    def path(self, name: str) -> Path:
        return self.folder / name

    def pair(self) -> list[Path]:
        return [self.path("one"), self.path("two")]

    def ask(self, *members: Path, **fields: Any) -> Found:
        lock = str(self.folder / "lock")
        request = Import(members=tuple(map(str, members)), name="backup", derivation_lock=lock, **fields)
        return take_over(request, wanted=lambda: True)

    def refuse(self, kind: type[TwinlockError], *members: Path) -> str:
        """Refused with that error, and all as before, also when it shall be carried out."""
        before = self.digests()
        sentences = set()
        for carry_out in (False, True):
            with pytest.raises(kind) as refused:
                self.ask(*members, carry_out=carry_out)
            sentences.add(str(refused.value))
        assert self.digests() == before
        assert len(sentences) == 1
        return sentences.pop()

    def digests(self) -> dict[str, str]:
        files = [path for path in self.folder.iterdir() if path.name != "lock"]
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# -- arrays ---------------------------------------------------------------------------------------

_OF_ARRAYS: dict[str, dict[str, Any]] = {
    "RAID level 0": {"level": 0},
    "RAID level 4": {"level": 4},
    "RAID level 5": {"level": 5},
    "RAID level 6": {"level": 6},
    "RAID level 10": {"level": 10},
    "RAID level -1": {"level": 0xFFFFFFFF},  # linear
    "RAID level -4": {"level": 0xFFFFFFFC},  # multipath
    "an unfinished reshape": {"feature_map": Feature.BITMAP_OFFSET | Feature.RESHAPE_ACTIVE},
    "a clustered bitmap": {"feature_map": Feature.BITMAP_OFFSET | Feature.CLUSTERED},
    "a journal device": {"feature_map": Feature.BITMAP_OFFSET | Feature.JOURNAL},
    "a partial parity log": {"feature_map": Feature.BITMAP_OFFSET | Feature.PPL},
    "unknown feature bits 0x8000": {"feature_map": Feature.BITMAP_OFFSET | 0x8000},
    "reserved fields": {"pad0": 1},
}


@pytest.mark.parametrize("feature", _OF_ARRAYS)
def test_arrays_that_are_no_plain_mirror_are_refused(bench: Bench, feature: str) -> None:
    foreign.array(bench.pair(), **_OF_ARRAYS[feature])
    assert feature in bench.refuse(ArrayUnsupported, *bench.pair())


def test_a_damaged_superblock_is_not_taken_for_contents(bench: Bench) -> None:
    one, two = bench.pair()
    foreign.array([one, two])
    for path in (one, two):
        with path.open("r+b") as file:
            file.seek(4096 + 200)
            file.write(b"\xff")
    assert "damaged" in bench.refuse(NotAMember, one)


def test_members_of_two_arrays(bench: Bench) -> None:
    one, two = bench.pair()
    foreign.array([one, bench.path("a")])
    foreign.array([two, bench.path("b")], uuid=b"another array!!!")
    bench.refuse(MemberOfOtherArray, one, two)


def test_halves_that_ran_apart(bench: Bench) -> None:
    pair = bench.pair()
    foreign.array(pair, foreign.partitioned(bench.path("contents")))
    for path in pair:
        device = FileDevice.open(path)
        mirror = Mirror.assemble(
            [read_member(device)], expected_uuid=None, clock=lambda: 1e9, observer=SilentObserver()
        )
        mirror.write(0, path.name.encode() * 1024 + bytes(1024))
        mirror.close()
    told = bench.refuse(MembersDiverged, *pair)
    assert all(str(path) in told for path in pair)
    assert "twinlock import MEMBER" in told, "nothing that needs a volume to be there"
    assert "twinlock member choose" not in told
    assert bench.ask(pair[0]).array is not None, "what is proposed works"


def test_an_array_with_a_bad_block_log_that_lists_sectors(bench: Bench) -> None:
    """They are told of; see test_bad_blocks for what becomes of them."""
    disks = [MemoryDevice(foreign.SIZE) for _ in bench.pair()]
    make_array("1.2", disks)
    member = read_member(disks[0])
    place = member.metadata.bad_blocks_offset(member.superblock)
    disks[0].write(place, (1024 << 10 | 8).to_bytes(8, "little").ljust(4096, b"\xff"))
    features = int(Feature.BITMAP_OFFSET | Feature.BAD_BLOCKS)
    disks[0].write(4096, member.metadata.build(member.superblock.change(feature_map=features)))
    for path, disk in zip(bench.pair(), disks, strict=True):
        path.write_bytes(disk.read(0, disk.size))
        with path.open("r+b") as file:
            file.seek(1 << 20)
            file.write(b"something that is no file system")
    found = bench.ask(*bench.pair())
    assert [member.bad_sectors for member in found.members] == [8, 0]


def test_a_whole_disk_whose_last_partition_is_a_member_of_metadata_0_90(bench: Bench) -> None:
    """Its superblock lies where the disk's own would: only the partition has the right beginning."""
    parts = [MemoryDevice(31 << 20) for _ in range(2)]
    make_array("0.90", parts)
    disk = foreign.blank(bench.path("disk"), 32 << 20)
    foreign.run("sfdisk", "-q", disk, stdin=b"label: dos\n2048,,fd\n")
    with disk.open("r+b") as file:
        file.seek(1 << 20)
        file.write(parts[0].read(0, parts[0].size))
    assert "partition 1" in bench.refuse(CannotImport, disk)


def test_an_array_and_a_disk_that_is_not_of_it(bench: Bench) -> None:
    foreign.array(bench.pair())
    foreign.partitioned(bench.path("other"))
    assert str(bench.path("other")) in bench.refuse(NotAMember, bench.path("one"), bench.path("other"))


def test_two_disks_without_an_array(bench: Bench) -> None:
    one = foreign.partitioned(bench.path("one"))
    two = foreign.copy(one, bench.path("two"))
    assert "belongs to an array" in bench.refuse(CannotImport, one, two)


def test_one_file_named_twice(bench: Bench) -> None:
    foreign.array(bench.pair())
    (bench.folder / "link").symlink_to("one")
    bench.refuse(MemberNamedTwice, bench.path("one"), bench.path("link"))


def test_a_path_that_leads_nowhere(bench: Bench) -> None:
    foreign.array(bench.pair())
    bench.refuse(MemberMissing, bench.path("one"), bench.path("gone"))


def test_an_array_with_a_container(bench: Bench) -> None:
    size = foreign.array(bench.pair())
    contents = foreign.luks(bench.path("c"), bench.key, "--label", "photos", size=size)
    foreign.array(bench.pair(), contents)
    found = bench.ask(*bench.pair())
    assert found.array is not None
    assert found.container is not None
    assert (
        found.identity
        == found.array.uuid
        == UUID(bytes=foreign.superblock(bench.path("one")).header.set_uuid)
    )
    assert (found.array.places, found.array.missing, found.array.clean) == (2, 0, True)
    assert (found.container.version, found.container.cipher) == (2, "aes-xts-plain64")
    assert (found.label, found.contents, found.remarks) == ("backup", (), ())
    assert found.size == size - (16 << 20)
    assert [member.state for member in found.members] == ["in sync"] * 2


def test_a_degraded_array(bench: Bench) -> None:
    size = foreign.array(bench.pair())
    foreign.array(bench.pair(), foreign.partitioned(bench.path("c"), size))
    found = bench.ask(bench.path("two"))
    assert found.array is not None
    assert found.array.missing == 1
    assert any("degraded" in remark for remark in found.remarks)
    assert found.container is None
    assert any("photos" in each for each in found.contents)


def test_a_look_writes_nothing(bench: Bench) -> None:
    foreign.array(bench.pair(), foreign.partitioned(bench.path("c")))
    before = bench.digests()
    bench.ask(*bench.pair())
    assert bench.digests() == before


def test_what_was_agreed_to_is_what_is_taken(bench: Bench) -> None:
    foreign.array(bench.pair(), foreign.partitioned(bench.path("c")))
    seen = bench.ask(*bench.pair())
    bench.ask(*bench.pair(), carry_out=True, expected=seen)
    with pytest.raises(NotPossibleNow):
        bench.ask(bench.path("two"), carry_out=True, expected=seen)


# -- containers -----------------------------------------------------------------------------------

_OF_CONTAINERS: dict[str, tuple[str, ...]] = {
    "aes-xts-plain with": ("--cipher", "aes-xts-plain"),
    "aes-cbc-plain64": ("--cipher", "aes-cbc-plain64", "--key-size", "256"),
}


@pytest.mark.parametrize("reason", _OF_CONTAINERS)
def test_other_ciphers(bench: Bench, reason: str) -> None:
    disk = foreign.luks(bench.path("disk"), bench.key, *_OF_CONTAINERS[reason])
    assert reason in bench.refuse(ContainerUnsupported, disk)


@pytest.mark.parametrize("begun", ["encrypt", "reencrypt"])
def test_a_reencryption_under_way(bench: Bench, begun: str) -> None:
    disk = foreign.blank(bench.path("disk"), 64 << 20)
    options: list[str | Path] = [
        "--init-only",
        "--force-offline-reencrypt",
        "--key-file",
        bench.key,
        *foreign.CHEAP,
    ]
    if begun == "encrypt":
        options += ["--encrypt", "--reduce-device-size", "32M"]
    else:
        foreign.luks(disk, bench.key)
    foreign.run("cryptsetup", "reencrypt", "-q", *options, disk)
    assert "online-reencrypt" in bench.refuse(ContainerUnsupported, disk)


def test_an_old_reencryption_under_way(bench: Bench) -> None:
    disk = foreign.luks(bench.path("disk"), bench.key, version=1)
    with disk.open("r+b") as file:
        file.write(b"LUKS\xde\xad")
    assert "unfinished" in bench.refuse(ContainerUnsupported, disk)


def test_a_detached_header(bench: Bench) -> None:
    foreign.luks(bench.path("data"), bench.key, "--header", str(bench.path("header")))
    assert "detached" in bench.refuse(ContainerUnsupported, bench.path("header"))
    assert "blank" in bench.refuse(CannotImport, bench.path("data"))


def test_a_damaged_container_is_not_taken_for_contents(bench: Bench) -> None:
    disk = foreign.luks(bench.path("disk"), bench.key)
    with disk.open("r+b") as file:
        for copy in (4096 + 100, 16384 + 4096 + 100):
            file.seek(copy)
            file.write(b"\xff" * 64)
    bench.refuse(ContainerUnsupported, disk)


@pytest.mark.parametrize(
    ("version", "options", "sector_size"),
    [
        (1, ("--cipher", "aes-cbc-essiv:sha256", "--key-size", "256"), 512),
        (1, (), 512),
        (2, ("--sector-size", "1024"), 1024),
        (2, ("--sector-size", "4096"), 4096),
    ],
)
def test_a_container_on_a_bare_disk(
    bench: Bench, version: int, options: tuple[str, ...], sector_size: int
) -> None:
    found = bench.ask(foreign.luks(bench.path("disk"), bench.key, *options, version=version))
    assert found.array is None
    assert found.container is not None
    assert (found.container.version, found.container.sector_size) == (version, sector_size)
    assert found.block_size == sector_size
    assert found.identity == found.container.uuid


def test_the_passphrase_is_tried(bench: Bench) -> None:
    disk = foreign.luks(bench.path("disk"), bench.key)
    bench.ask(disk, passphrase=SecretBytes(PASSPHRASE))
    with pytest.raises(WrongPassphrase):
        bench.ask(disk, passphrase=SecretBytes(b"another"))


# -- other contents -------------------------------------------------------------------------------


def test_a_disk_with_partitions(bench: Bench) -> None:
    found = bench.ask(foreign.partitioned(bench.path("disk")))
    assert found.array is None
    assert found.container is None
    assert found.identity is None
    assert found.size == foreign.SIZE
    assert [each.split(":")[0] for each in found.contents] == [
        "a partition table (gpt)", "partition 1, 8.0 MiB", "partition 2, 8.0 MiB",
    ]  # fmt: skip
    assert "ext4" in found.contents[1]


def test_what_partitions_hold_is_said(bench: Bench) -> None:
    disk = foreign.partitioned(bench.path("disk"))
    container = foreign.luks(bench.path("container"), bench.key, size=8 << 20, version=1)
    with disk.open("r+b") as file:
        file.seek(9 << 20)
        file.write(container.read_bytes())
    assert any("Partition 2 is encrypted" in remark for remark in bench.ask(disk).remarks)


def test_a_blank_disk(bench: Bench) -> None:
    assert "twinlock create" in bench.refuse(CannotImport, foreign.blank(bench.path("disk")))


def test_contents_of_an_unknown_kind_are_called_so(bench: Bench) -> None:
    disk = foreign.blank(bench.path("disk"))
    with disk.open("r+b") as file:
        file.write(b"\x5a" * 8192)
    assert "not known" in bench.ask(disk).contents[0]


_INTEL = b"Intel Raid ISM Cfg Sig. 1.1.00"


def _intel(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(foreign.SIZE - 1024)
        file.write(_INTEL)


def _ddf(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(foreign.SIZE - 512)
        file.write(b"\xde\x11\xde\x11" + bytes(4) + b"T10" + bytes(21) + b"01.00.00")


def _integrity(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"integrt\0\1" + bytes(503))


_OF_OTHERS: dict[str, Callable[[Path], None]] = {"IMSM": _intel, "DDF": _ddf, "dm-integrity": _integrity}


@pytest.mark.parametrize("name", _OF_OTHERS)
def test_what_is_not_whole_by_itself(bench: Bench, name: str) -> None:
    disk = foreign.blank(bench.path("disk"))
    _OF_OTHERS[name](disk)
    assert name in bench.refuse(CannotImport, disk)


@pytest.mark.parametrize(
    "kind", ["bcache", "drbd", "jbd", "promise_fasttrack_raid_member", "DM_snapshot_cow"]
)
def test_signatures_that_are_refused(kind: str) -> None:
    usage = "raid" if kind.endswith("member") else "other"
    with pytest.raises(CannotImport):
        kinds.refuse("/dev/sda", [Signature("dos", "partition table"), Signature(kind, usage)])


@pytest.mark.parametrize("kind", ["LVM2_member", "zfs_member"])
def test_signatures_that_are_served_with_a_word(kind: str) -> None:
    found = [Signature(kind, "raid")]
    kinds.refuse("/dev/sda", found)
    assert len(kinds.remarks(found)) == 1


# -- in use ---------------------------------------------------------------------------------------


def test_a_file_that_a_loop_device_has(bench: Bench) -> None:
    disk = foreign.partitioned(bench.path("disk"))
    loop = foreign.run("losetup", "--find", "--show", disk).strip()
    try:
        assert f"losetup -d {loop}" in bench.refuse(MemberInUse, disk)
    finally:
        foreign.run("losetup", "--detach", loop)
