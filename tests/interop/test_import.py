"""``twinlock import`` by the real command: what others made is served where it is, or stays as it was."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import PASSPHRASE
from tests.interop.test_keys import typed
from tests.support import foreign
from tests.support.client import Client
from tests.support.daemon import TARGET_PREFIX, Daemon
from twinlock import errors
from twinlock.block.mirror.superblock import Feature

ENCRYPT = ("--encrypt", "--reduce-device-size", "32M", "--force-offline-reencrypt", "--type", "luks2")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("import") / "root") as running:
        yield running


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_bytes(PASSPHRASE)
    return path


def take_over(daemon: Daemon, name: str, *words: str | Path, check: bool = True) -> tuple[int, str]:
    command = ("import", *map(str, words), "--name", name, "--yes", "--chap", "none")
    done = daemon.cli(*command, check=check)
    return done.returncode, done.stdout + done.stderr


def configuration(daemon: Daemon) -> bytes | None:
    """The configuration file's content; None while no volume was ever made."""
    path = daemon.root / "etc/twinlock.toml"
    return path.read_bytes() if path.exists() else None


def client(daemon: Daemon, name: str) -> Client:
    return Client(daemon.port, TARGET_PREFIX + name)


def write_and_reopen(daemon: Daemon, name: str, block_size: int, key: Path | None) -> None:
    """What is written through it is there after a lock and an unlock."""
    data = bytes(range(256)) * 64
    with client(daemon, name) as disk:
        disk.write(8, data, block_size)
        disk.flush()
    daemon.cli("lock", name)
    daemon.cli("unlock", name, *(["--passphrase-file", str(key)] if key else []))
    with client(daemon, name) as disk:
        assert disk.read(8, len(data) // block_size, block_size) == data
    daemon.cli("lock", name)


# -- one device -----------------------------------------------------------------------------------


@pytest.mark.long
def test_a_disk_that_cryptsetup_encrypted(daemon: Daemon, tmp_path: Path, key: Path) -> None:
    """The plain text is known: a disk with files, encrypted in place by stock cryptsetup."""
    disk = foreign.blank(tmp_path / "disk", 48 << 20)
    foreign.run("mke2fs", "-q", "-b", "4096", "-d", Path(__file__).parent, disk, "14m")
    plain = disk.read_bytes()
    foreign.run("cryptsetup", "reencrypt", "-q", *ENCRYPT, *foreign.CHEAP, "--key-file", key, disk)
    _, told = take_over(daemon, "bare", disk, "--passphrase-file", key)
    assert "It is unlocked" in told
    with client(daemon, "bare") as served:
        found = served.read(0, 4096) + served.read(4096, 4096)
    same = found == plain[: 4 << 20]
    assert same
    write_and_reopen(daemon, "bare", 512, key)
    uuid = foreign.run("cryptsetup", "luksUUID", disk).strip()
    assert f'array = "{uuid}"' in (daemon.root / "etc/twinlock.toml").read_text()


@pytest.mark.parametrize(
    ("name", "version", "options", "block_size"),
    [
        pytest.param(
            "luks1", 1, ("--cipher", "aes-cbc-essiv:sha256", "--key-size", "256"), 512, marks=pytest.mark.long
        ),
        pytest.param("sectors", 2, ("--sector-size", "4096"), 4096, marks=pytest.mark.long),
    ],
)
def test_bare_containers(
    daemon: Daemon,
    tmp_path: Path,
    key: Path,
    name: str,
    version: int,
    options: tuple[str, ...],
    block_size: int,
) -> None:
    disk = foreign.luks(tmp_path / "disk", key, *options, version=version)
    take_over(daemon, name, disk, "--passphrase-file", key)
    with client(daemon, name) as served:
        assert served.capacity()[1] == block_size
    write_and_reopen(daemon, name, block_size, key)


@pytest.mark.long
def test_another_container_at_the_same_path_is_not_unlocked(
    daemon: Daemon, tmp_path: Path, key: Path
) -> None:
    disk = foreign.luks(tmp_path / "disk", key)
    take_over(daemon, "swapped", disk)
    foreign.luks(disk, key)
    done = daemon.cli("unlock", "swapped", "--passphrase-file", str(key), check=False)
    assert done.returncode == errors.ContainerUnsupported.exit_code
    assert "connect the right disk" in done.stderr


@pytest.mark.long
def test_a_plain_disk_with_its_partitions(daemon: Daemon, tmp_path: Path) -> None:
    disk = foreign.partitioned(tmp_path / "disk")
    before = disk.read_bytes()
    _, told = take_over(daemon, "plain", disk)
    assert "photos" in told
    assert "no mirror" in told
    with client(daemon, "plain") as served:
        found = served.read(0, 2048)
        assert served.capacity() == (foreign.SIZE // 512, 512)
    same = found == before[: 1 << 20]
    assert same
    assert disk.read_bytes() == before
    serial = daemon.status("plain")["open"]["array"]
    write_and_reopen(daemon, "plain", 512, None)
    daemon.cli("unlock", "plain")
    assert daemon.status("plain")["open"]["array"] == serial
    daemon.cli("lock", "plain")


# -- arrays ---------------------------------------------------------------------------------------


def test_an_array_with_a_container(daemon: Daemon, tmp_path: Path, key: Path) -> None:
    pair = [tmp_path / "one", tmp_path / "two"]
    size = foreign.array(pair)
    foreign.array(pair, foreign.luks(tmp_path / "contents", key, size=size))
    _, told = take_over(daemon, "mirror", *pair, "--passphrase-file", key)
    assert "RAID1 of 2, metadata 1.2, clean" in told
    opened = daemon.status("mirror")["open"]
    assert not opened["degraded"]
    write_and_reopen(daemon, "mirror", 512, key)
    contents = [foreign.superblock(path).header.events for path in pair]
    assert contents[0] == contents[1]


@pytest.mark.long
def test_an_array_without_a_bitmap_gets_one(daemon: Daemon, tmp_path: Path) -> None:
    pair = [tmp_path / "one", tmp_path / "two"]
    size = foreign.array(pair)
    foreign.array(pair, foreign.partitioned(tmp_path / "contents", size), feature_map=0, bitmap_offset=0)
    assert not foreign.superblock(pair[0]).has_bitmap
    _, told = take_over(daemon, "nobitmap", *pair)
    assert "gets one" in told
    assert all(foreign.superblock(path).features & Feature.BITMAP_OFFSET for path in pair)
    with client(daemon, "nobitmap") as served:
        found = served.read(0, 2048)
    same = found == (tmp_path / "contents").read_bytes()[: 1 << 20]
    assert same
    write_and_reopen(daemon, "nobitmap", 512, None)


@pytest.mark.long
def test_members_that_are_partitions(daemon: Daemon, tmp_path: Path) -> None:
    loops = []
    try:
        for name in ("one", "two"):
            foreign.blank(tmp_path / name, 32 << 20)
            foreign.run("sfdisk", "-q", tmp_path / name, stdin=b"label: dos\n,24M,fd\n")
            loops.append(_partition(tmp_path / name))
        size = foreign.array(loops)
        foreign.array(loops, foreign.partitioned(tmp_path / "contents", size))
        take_over(daemon, "partitions", *loops)
        assert not daemon.status("partitions")["open"]["degraded"]
        write_and_reopen(daemon, "partitions", 512, None)
    finally:
        for loop in loops:
            foreign.run("losetup", "--detach", loop)


def _partition(disk: Path) -> Path:
    """A loop device of the first partition's bytes: no udev is here that makes a node of the partition."""
    start = 1 << 20
    options = ("--find", "--show", "--offset", str(start), "--sizelimit", str(24 << 20))
    return Path(foreign.run("losetup", *options, disk).strip())


@pytest.mark.long
def test_a_degraded_array_and_its_name(daemon: Daemon, tmp_path: Path) -> None:
    pair = [tmp_path / "one", tmp_path / "two"]
    size = foreign.array(pair, name="pc:Old Backup")
    foreign.array(pair, foreign.partitioned(tmp_path / "contents", size), name="pc:Old Backup")
    done = daemon.cli("import", str(pair[1]), "--yes")
    assert "1 missing" in done.stdout
    assert "CHAP secret" in done.stdout
    assert daemon.await_unlocked("old-backup")["open"]["degraded"]
    daemon.cli("lock", "old-backup")


# -- what is refused, and what is asked for -------------------------------------------------------

Make = Callable[[Path, Path], list[Path]]


def _raid5(folder: Path, _key: Path) -> list[Path]:
    foreign.array([folder / "one", folder / "two"], level=5)
    return [folder / "one", folder / "two"]


def _blank(folder: Path, _key: Path) -> list[Path]:
    return [foreign.blank(folder / "disk")]


def _other_cipher(folder: Path, key: Path) -> list[Path]:
    return [foreign.luks(folder / "disk", key, "--cipher", "aes-xts-plain")]


def _strangers(folder: Path, _key: Path) -> list[Path]:
    foreign.array([folder / "one"])
    foreign.array([folder / "two"], uuid=b"another array!!!")
    return [folder / "one", folder / "two"]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (_raid5, errors.ArrayUnsupported),
        (_blank, errors.CannotImport),
        (_other_cipher, errors.ContainerUnsupported),
        (_strangers, errors.MemberOfOtherArray),
    ],
)
def test_refusals(
    daemon: Daemon, tmp_path: Path, key: Path, make: Make, error: type[errors.TwinlockError]
) -> None:
    members = make(tmp_path, key)
    before = [member.read_bytes() for member in members]
    configured = configuration(daemon)
    code, _ = take_over(daemon, "refused", *members, check=False)
    assert code == error.exit_code
    assert [member.read_bytes() for member in members] == before
    assert configuration(daemon) == configured


@pytest.mark.long
def test_nothing_changes_before_it_is_asked_for(daemon: Daemon, tmp_path: Path, key: Path) -> None:
    """A dry run, no answer, a wrong passphrase."""
    wrong = tmp_path / "wrong"
    wrong.write_text("another")
    disk = foreign.luks(tmp_path / "disk", key)
    configured = configuration(daemon)
    done = daemon.cli("import", str(disk), "--dry-run", "--test", "--passphrase-file", str(key))
    assert "The passphrase opens it" in done.stdout
    assert "Nothing was changed" in done.stdout
    done = daemon.cli("import", str(disk), check=False)
    assert done.returncode == errors.BadOption.exit_code
    code, _ = take_over(daemon, "wrong", disk, "--passphrase-file", wrong, check=False)
    assert code == errors.WrongPassphrase.exit_code
    assert configuration(daemon) == configured


@pytest.mark.long
def test_questions_at_a_terminal(daemon: Daemon, tmp_path: Path, key: Path) -> None:
    """No is no; a wrong passphrase changes nothing; Enter leaves it for the unlock."""
    disk = foreign.luks(tmp_path / "disk", key)
    words = ["import", str(disk), "--name", "asked"]
    configured = configuration(daemon)
    assert typed(daemon, words, "n") == 1
    assert typed(daemon, words, "y", "nonsense") == errors.WrongPassphrase.exit_code
    assert configuration(daemon) == configured
    assert typed(daemon, words, "y", "") == 0
    assert daemon.status("asked")["state"] == "locked"
    daemon.cli("unlock", "asked", "--passphrase-file", str(key))
    daemon.cli("lock", "asked")


@pytest.mark.long
def test_tasks_on_a_volume_without_an_array(daemon: Daemon, tmp_path: Path, key: Path) -> None:
    """Keys and headers as for any other, locked or not; what needs a mirror is refused."""
    disk, other = foreign.luks(tmp_path / "disk", key), tmp_path / "other"
    other.write_text("another passphrase")
    take_over(daemon, "single", disk, "--passphrase-file", key)
    assert daemon.status("single")["open"]["degraded"] is False
    secrets = ("--passphrase-file", str(key), "--new-passphrase-file", str(other), "--iter-time", "1")
    daemon.cli("key", "add", "single", *secrets)
    for words in (["member", "list", "single"], ["grow", "single"], ["scrub", "single", "--status"]):
        refused = daemon.cli(*words, check=False)
        assert refused.returncode == errors.NotPossibleNow.exit_code
    daemon.cli("lock", "single")
    daemon.cli("key", "remove", "single", "0")
    assert len(daemon.cli("header", "list", "single").stdout.splitlines()) >= 2
    foreign.run("cryptsetup", "open", "--test-passphrase", "--key-file", other, disk)
    daemon.cli("unlock", "single", "--passphrase-file", str(other))
    daemon.cli("lock", "single")


@pytest.mark.long
def test_what_a_volume_has_already(daemon: Daemon, tmp_path: Path, key: Path) -> None:
    disk = foreign.luks(tmp_path / "disk", key)
    take_over(daemon, "first", disk)
    clone = foreign.copy(disk, tmp_path / "clone")
    for path in (disk, clone):
        code, told = take_over(daemon, "second", path, check=False)
        assert code == errors.CannotImport.exit_code
        assert "'first'" in told


@pytest.mark.long
def test_a_mounted_disk_is_named_with_what_frees_it(daemon: Daemon, tmp_path: Path) -> None:
    disk, where = foreign.blank(tmp_path / "disk"), tmp_path / "mnt"
    where.mkdir()
    foreign.run("mke2fs", "-q", disk)
    loop = foreign.run("losetup", "--find", "--show", disk).strip()
    subprocess.run(["mount", loop, str(where)], check=True)
    try:
        code, told = take_over(daemon, "mounted", loop, check=False)
    finally:
        foreign.run("umount", where)
        foreign.run("losetup", "--detach", loop)
    assert code == errors.MemberInUse.exit_code
    assert f"umount {where}" in told


@pytest.mark.long
def test_without_a_daemon(tmp_path: Path, key: Path) -> None:
    """The command does it by itself, as create does; the daemon that is started later serves it."""
    disk = foreign.luks(tmp_path / "disk", key)
    with Daemon(tmp_path / "root") as later:
        later.stop()
        _, told = take_over(later, "early", disk)
        assert "Next: twinlock serve" in told
        later.start()
        later.cli("unlock", "early", "--passphrase-file", str(key))
        assert later.status("early")["state"] == "unlocked"
