"""Members that are block devices (loop devices stand in for disks)."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.daemon import TARGET_PREFIX, Daemon
from tests.support.initiator import Credentials
from twinlock import errors

MakeDisk = Callable[..., Path]


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[MakeDisk]:
    """Makes a loop device; the backing file is ``tmp_path/NAME``."""
    devices: list[str] = []

    def make(name: str, *options: str, fill: bytes = b"") -> Path:
        backing = tmp_path / name
        with backing.open("wb") as file:
            file.write(fill)
            file.truncate(64 << 20)
        command = ["losetup", "--find", "--show", *options, str(backing)]
        devices.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
        return Path(devices[-1])

    yield make
    for device in devices:
        subprocess.run(["losetup", "--detach", device], check=True)


def create(
    daemon: Daemon, passphrase_file: Path, *arguments: str | Path, check: bool = True
) -> tuple[int, str]:
    words = [str(argument) for argument in arguments]
    command = ("create", "backup", *words, "--passphrase-file", str(passphrase_file), "--iter-time", "0")
    done = daemon.cli(*command, check=check)
    return done.returncode, done.stdout + done.stderr


def login(daemon: Daemon) -> Client:
    return Client(
        daemon.port, TARGET_PREFIX + "backup", Credentials("backup", daemon.secret("backup").encode())
    )


def test_two_disks_with_different_old_contents_become_equal(
    daemon: Daemon, make_disk: MakeDisk, passphrase_file: Path, tmp_path: Path
) -> None:
    disks = [make_disk("a", fill=b"A" * (60 << 20)), make_disk("b", fill=b"B" * (60 << 20))]
    code, told = create(daemon, passphrase_file, *disks, check=False)
    assert code == errors.MemberHasSignature.exit_code
    assert "not known" in told
    _, told = create(daemon, passphrase_file, *disks, "--force")
    assert "first build copies" in told
    with login(daemon) as client:
        before = client.read(1000, 8)
        until = time.monotonic() + 60
        while not daemon.api("GET", "/v1/volumes/backup")["open"]["clean"]:
            assert time.monotonic() < until, "the first build does not end"
            time.sleep(0.2)
        assert client.read(1000, 8) == before
    daemon.stop()
    contents = [(tmp_path / name).read_bytes() for name in "ab"]
    offset = int.from_bytes(contents[0][4096 + 128 : 4096 + 136], "little") * 512
    same = contents[0][offset:] == contents[1][offset:]
    assert same


def test_a_held_disk_is_refused_and_the_way_out_is_named(
    daemon: Daemon, make_disk: MakeDisk, passphrase_file: Path, tmp_path: Path
) -> None:
    mounted, free = make_disk("a"), make_disk("b")
    where = tmp_path / "mnt"
    where.mkdir()
    subprocess.run(["mke2fs", "-q", str(mounted)], check=True, capture_output=True)
    subprocess.run(["mount", str(mounted), str(where)], check=True)
    try:
        code, told = create(daemon, passphrase_file, mounted, free, "--force", check=False)
    finally:
        subprocess.run(["umount", str(where)], check=True)
    assert code == errors.MemberInUse.exit_code
    assert f"umount {where}" in told


def test_a_served_disk_cannot_be_mounted_or_used_twice(
    daemon: Daemon, make_disk: MakeDisk, passphrase_file: Path
) -> None:
    disks = [make_disk("a"), make_disk("b")]
    create(daemon, passphrase_file, *disks)
    done = subprocess.run(["mke2fs", "-q", "-F", str(disks[0])], check=False, capture_output=True, text=True)
    assert done.returncode, "mke2fs opens disks exclusively, and must find this one taken"


def test_disks_with_4096_byte_sectors(daemon: Daemon, make_disk: MakeDisk, passphrase_file: Path) -> None:
    disks = [make_disk("a", "--sector-size", "4096"), make_disk("b")]
    code, told = create(daemon, passphrase_file, *disks, "--block-size", "512", check=False)
    assert code == errors.BadOption.exit_code
    assert "4096" in told
    create(daemon, passphrase_file, *disks)
    with login(daemon) as client:
        assert client.capacity()[1] == 4096
        client.write(5, b"x" * 4096, 4096)
        client.flush()
        assert client.read(5, 1, 4096) == b"x" * 4096


def test_a_disk_that_is_pulled_out_is_out_before_anything_is_acknowledged(
    daemon: Daemon, make_disk: MakeDisk, passphrase_file: Path, tmp_path: Path
) -> None:
    """The kernel sets the size of such a disk to 0; a loop device of a file that was cut answers alike."""
    disks = [make_disk("a"), make_disk("b")]
    create(daemon, passphrase_file, *disks)
    with login(daemon) as client:
        client.write(0, b"x" * 4096)
        client.flush()
        (tmp_path / "a").write_bytes(b"")
        subprocess.run(["losetup", "--set-capacity", str(disks[0])], check=True)
        client.flush()
        opened = daemon.status("backup")["open"]
        assert opened["degraded"]
        states = {member["path"]: member["state"] for member in opened["members"]}
        assert states == {str(disks[0]): "faulty", str(disks[1]): "in sync"}
        client.write(8, b"y" * 4096)
        client.flush()
        assert client.read(0, 16) == b"x" * 4096 + b"y" * 4096


@pytest.mark.long
def test_disks_come_and_go_as_members(
    daemon: Daemon, make_disk: MakeDisk, passphrase_file: Path, tmp_path: Path
) -> None:
    """A disk with blocks of 4096 bytes cannot serve a volume of 512, whatever is asked for."""
    disks = [make_disk("a"), make_disk("b")]
    create(daemon, passphrase_file, *disks)
    large_blocks, held, new = (
        make_disk("c", "--sector-size", "4096"),
        make_disk("d", fill=b"d"),
        make_disk("e"),
    )
    for command in (("add",), ("replace", str(disks[0])), ("add", "--force")):
        verb, *rest = command
        options = [word for word in rest if word.startswith("--")]
        named = [word for word in rest if not word.startswith("--")]
        refused = daemon.cli("member", verb, "backup", *named, str(large_blocks), *options, check=False)
        assert refused.returncode == errors.MemberUnusable.exit_code
        assert "4096" in refused.stderr
    refused = daemon.cli("member", "add", "backup", str(held), check=False)
    assert refused.returncode == errors.MemberHasSignature.exit_code
    daemon.cli("member", "replace", "backup", str(disks[0]), str(new), "--wait")
    daemon.cli("member", "add", "backup", str(held), "--force")
    states = {each["path"]: each["state"] for each in daemon.members("backup")["found"]}
    assert states == {str(disks[1]): "in sync", str(new): "in sync", str(held): "spare"}
    daemon.cli("member", "fail", "backup", str(disks[1]))
    while daemon.members("backup")["degraded"]:
        time.sleep(0.1)
    again = daemon.cli("member", "replace", "backup", str(held), str(disks[0]), "--wait", "--json", "--force")
    assert '"degraded": false' in again.stdout
    assert len(again.stderr) == 0
