"""Bad input: one clear sentence, an exit code of its own, and nothing changed."""

import hashlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.daemon import TARGET_PREFIX, Daemon
from twinlock import errors
from twinlock.errors import TwinlockError

WAIT_FREE = ("--iter-time", "0")
SIZE = "32M"


class Scene:
    """A folder with a passphrase and some paths, and a daemon; ``digest`` tells whether anything changed.

    ``home`` is the folder of the daemon and the volumes: another one, if cases share them.
    """

    def __init__(self, folder: Path, daemon: Daemon, home: Path | None = None) -> None:
        self.folder = folder
        self.daemon = daemon
        self.home = home or folder
        self.passphrase = folder / "passphrase"
        self.passphrase.write_bytes(b"correct horse battery staple\n")
        self.a, self.b = folder / "a.img", folder / "b.img"

    def digest(self) -> dict[str, str]:
        """Every file but logs and locks."""
        return {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest()
            for folder in {self.folder, self.home}
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix != ".log" and path.name not in ("lock", "derivation.lock")
        }

    def create(self, *arguments: str | Path, name: str = "new") -> list[str]:
        members = [str(argument) for argument in arguments]
        size = [] if "--size" in members else ["--size", SIZE]
        return ["create", name, *members, *size, "--passphrase-file", str(self.passphrase), *WAIT_FREE]

    def unlock(self, name: str = "backup") -> list[str]:
        return ["unlock", name, "--passphrase-file", str(self.passphrase)]

    def make(self, name: str = "backup", *options: str) -> None:
        if self.home != self.folder and self.member(1, name).exists():
            return  # made by the first who needed it
        self.daemon.cli(*self.create(self.member(1, name), self.member(2, name), *options, name=name))

    def make_locked(self, name: str = "backup", *options: str) -> None:
        self.make(name, *options)
        self.lock(name)

    def lock(self, name: str = "backup") -> None:
        self.daemon.api("POST", f"/v1/volumes/{name}/lock")

    def member(self, number: int, name: str = "backup") -> Path:
        return self.home / f"{name}-{number}.img"

    def spoil(self, number: int, offset: int, data: bytes, name: str = "backup") -> None:
        with self.member(number, name).open("r+b") as file:
            file.seek(offset)
            file.write(data)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon for all cases that leave it, and its volume, as they are."""
    with Daemon(tmp_path_factory.mktemp("shared") / "root") as running:
        yield running


@pytest.fixture
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scene]:
    case = getattr(request.node, "callspec", None)
    alone = case is None or case.params["prepare"] in ALONE
    daemon: Daemon = request.getfixturevalue("daemon" if alone else "shared")
    yield Scene(tmp_path, daemon, tmp_path if alone else daemon.root.parent)
    daemon.environ["TWINLOCK_ROOT"] = str(daemon.root)  # also for its own end


def plain_file(path: Path, size: int = 32 << 20) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
    return path


# Each prepares a scene and returns the command that must be refused.


def member_missing(scene: Scene) -> list[str]:
    return scene.create("/dev/no-such-disk", scene.b)


def size_not_said(scene: Scene) -> list[str]:
    return [word for word in scene.create(scene.a, scene.b) if word not in ("--size", SIZE)]


def size_is_no_size(scene: Scene) -> list[str]:
    return scene.create(scene.a, scene.b, "--size", "huge")


def four_members(scene: Scene) -> list[str]:
    return scene.create(scene.a, scene.b, scene.folder / "c.img", scene.folder / "d.img")


def odd_block_size(scene: Scene) -> list[str]:
    return [*scene.create(scene.a, scene.b), "--block-size", "1000"]


def a_folder(scene: Scene) -> list[str]:
    return scene.create(scene.folder, scene.b)


def too_small(scene: Scene) -> list[str]:
    return scene.create(scene.a, scene.b, "--size", "1M")


def second_too_small(scene: Scene) -> list[str]:
    return scene.create(scene.a, plain_file(scene.b, 1 << 20))


def named_twice(scene: Scene) -> list[str]:
    return scene.create(plain_file(scene.a), scene.a)


def one_file_by_two_names(scene: Scene) -> list[str]:
    scene.b.symlink_to(plain_file(scene.a))
    return scene.create(scene.a, scene.b)


def a_filesystem(scene: Scene) -> list[str]:
    subprocess.run(["mke2fs", "-q", "-L", "photos", plain_file(scene.a)], check=True, capture_output=True)
    return scene.create(scene.a, scene.b)


def an_array(scene: Scene) -> list[str]:
    scene.make_locked()
    return scene.create(scene.member(1), scene.b)


def served_already(scene: Scene) -> list[str]:
    scene.make()
    return [*scene.create(scene.member(1), scene.b), "--force"]


def odd_name(scene: Scene) -> list[str]:
    return scene.create(scene.a, scene.b, name="My Backup")


def odd_target(scene: Scene) -> list[str]:
    return [*scene.create(scene.a, scene.b), "--target", "backup disk"]


def taken_target(scene: Scene) -> list[str]:
    scene.make()
    return [*scene.create(scene.a, scene.b), "--target", "iqn.2026-11.io.twinlock:backup"]


def taken_name(scene: Scene) -> list[str]:
    scene.make()
    return scene.create(scene.a, scene.b, name="backup")


def no_such_volume(scene: Scene) -> list[str]:
    return scene.unlock("nothing")


def empty_passphrase(scene: Scene) -> list[str]:
    scene.passphrase.write_bytes(b"\n")
    return scene.create(scene.a, scene.b)


def long_passphrase(scene: Scene) -> list[str]:
    scene.passphrase.write_bytes(b"x" * 513)
    return scene.create(scene.a, scene.b)


def no_passphrase_file(scene: Scene) -> list[str]:
    scene.passphrase.unlink()
    return scene.create(scene.a, scene.b)


def no_terminal(scene: Scene) -> list[str]:
    return ["create", "new", str(scene.a), str(scene.b), "--size", SIZE]


def wrong_passphrase(scene: Scene) -> list[str]:
    scene.make_locked()
    scene.passphrase.write_bytes(b"not it\n")
    return scene.unlock()


def wrong_passphrase_with_a_member_away(scene: Scene) -> list[str]:
    command = wrong_passphrase(scene)
    scene.member(1).rename(scene.folder / "away.img")
    return command


def both_members_gone(scene: Scene) -> list[str]:
    scene.make_locked()
    scene.member(1).unlink()
    scene.member(2).unlink()
    return scene.unlock()


def blank_members(scene: Scene) -> list[str]:
    scene.make_locked()
    for number in (1, 2):
        scene.spoil(number, 0, bytes(64 << 10))
    return scene.unlock()


def a_member_of_another_volume(scene: Scene) -> list[str]:
    scene.make_locked()
    scene.make_locked("other")
    scene.member(1).unlink()
    scene.member(1, "other").rename(scene.member(1))
    return scene.unlock()


def a_raid_level_of_five(scene: Scene) -> list[str]:
    """A valid superblock (its checksum put right) of a kind twinlock does not serve."""
    scene.make_locked()
    block = bytearray(scene.member(1).read_bytes()[4096 : 4096 + 512])
    block[72:76] = (5).to_bytes(4, "little")
    words = [int.from_bytes(block[at : at + 4], "little") for at in range(0, 512, 4) if at != 216]
    total = sum(words)
    block[216:220] = ((total & 0xFFFFFFFF) + (total >> 32)).to_bytes(4, "little")
    scene.spoil(1, 4096, bytes(block))
    return scene.unlock()


def halves_that_ran_apart(scene: Scene) -> list[str]:
    """Each member is written to while the other is away."""
    scene.make_locked("backup", "--chap", "none")
    away = scene.folder / "away.img"
    for here, gone in ((1, 2), (2, 1)):
        scene.member(gone).rename(away)
        scene.daemon.cli(*scene.unlock())
        with Client(scene.daemon.port, TARGET_PREFIX + "backup") as client:
            client.write(0, bytes([here]) * 512)
            client.flush()
        scene.lock()
        away.rename(scene.member(gone))
    return scene.unlock()


def a_damaged_container(scene: Scene) -> list[str]:
    scene.make_locked()
    for number in (1, 2):
        offset = int.from_bytes(scene.member(number).read_bytes()[4096 + 128 : 4096 + 136], "little") * 512
        scene.spoil(number, offset, bytes(8 << 20))
    return scene.unlock()


def a_damaged_configuration(scene: Scene) -> list[str]:
    scene.daemon.stop()
    (scene.daemon.root / "etc").mkdir(exist_ok=True)
    (scene.daemon.root / "etc/twinlock.toml").write_text("[[volume]]\nname = ")
    return ["serve"]


def a_second_daemon(scene: Scene) -> list[str]:
    return ["serve", "--portal", "127.0.0.1:0"]


def a_port_in_use(scene: Scene) -> list[str]:
    scene.daemon.environ["TWINLOCK_ROOT"] = str(scene.folder / "second")
    return ["serve", "--portal", f"127.0.0.1:{scene.daemon.port}"]


def an_odd_portal(scene: Scene) -> list[str]:
    return ["serve", "--portal", "nowhere"]


def no_daemon(scene: Scene) -> list[str]:
    scene.daemon.stop()
    return ["status"]


def a_secret_too_short(scene: Scene) -> list[str]:
    scene.make_locked()
    path = scene.daemon.root / "lib/secrets/backup.toml"
    path.write_text('user = "backup"\nsecret = "hunter2"\n')
    return scene.unlock()


def an_unusable_root(scene: Scene) -> list[str]:
    scene.daemon.environ["TWINLOCK_ROOT"] = "/proc/twinlock"
    return scene.create(scene.a, scene.b)


def another_volume_by_a_crooked_path(scene: Scene) -> list[str]:
    scene.make()
    return ["lock", "nothing/../backup"]


def no_name(scene: Scene) -> list[str]:
    return scene.unlock("")


def more_than_any_disk(scene: Scene) -> list[str]:
    return scene.create(scene.a, scene.b, "--size", "16777216T")


def a_tar(scene: Scene) -> list[str]:
    """Data that no list of signatures knows, at the end only."""
    with plain_file(scene.a).open("r+b") as file:
        file.seek(-4096, 2)
        file.write(b"holiday photos")
    return scene.create(scene.a, scene.b)


def a_passphrase_for_nothing(scene: Scene) -> list[str]:
    return [*scene.create(scene.a, scene.b), "--no-encryption"]


def a_configuration_being_edited(scene: Scene) -> list[str]:
    scene.make()
    path = scene.daemon.root / "etc/twinlock.toml"
    path.write_text(path.read_text() + "[[volume")
    return scene.create(scene.a, scene.b)


def an_empty_target(scene: Scene) -> list[str]:
    return [*scene.create(scene.a, scene.b), "--target", ""]


def an_odd_initiator(scene: Scene) -> list[str]:
    return [*scene.create(scene.a, scene.b), "--initiator", "my pc"]


def an_odd_network(scene: Scene) -> list[str]:
    return [*scene.create(scene.a, scene.b), "--network", "192.168.1.5/24"]


def an_odd_chap(scene: Scene) -> list[str]:
    return [*scene.create(scene.a, scene.b), "--chap", "always"]


def an_odd_discard(scene: Scene) -> list[str]:
    return [*scene.create(scene.a, scene.b), "--discard", "perhaps"]


def an_odd_initiator_set(scene: Scene) -> list[str]:
    scene.make()
    return ["set", "backup", "--shared", "--chap", "mutual", "--initiator", "my pc"]


def an_odd_network_set(scene: Scene) -> list[str]:
    scene.make()
    return ["set", "backup", "--new-secrets", "--network", "home"]


def both_a_list_and_none(scene: Scene) -> list[str]:
    scene.make()
    return ["set", "backup", "--network", "10.0.0.0/8", "--any-network"]


def secrets_without_chap(scene: Scene) -> list[str]:
    scene.make()
    return ["set", "backup", "--chap", "none", "--new-secrets"]


def secrets_of_an_open_discovery(scene: Scene) -> list[str]:
    return ["discovery", "--new-secrets"]


def settings_of_no_volume(scene: Scene) -> list[str]:
    return ["set", "nothing", "--shared"]


def a_link_local_portal(scene: Scene) -> list[str]:
    return ["serve", "--portal", "[fe80::1]:3260"]


def a_damaged_discovery_secret(scene: Scene) -> list[str]:
    scene.daemon.cli("discovery", "--chap", "auto")
    scene.daemon.stop()
    (scene.daemon.root / "lib/secrets/_discovery.toml").write_text('user = "x"\nsecret = "hunter2"\n')
    return ["serve", "--portal", "127.0.0.1:0"]


Prepare = Callable[[Scene], list[str]]
ALONE = {
    an_array,
    wrong_passphrase,
    wrong_passphrase_with_a_member_away,
    both_members_gone,
    blank_members,
    a_member_of_another_volume,
    a_raid_level_of_five,
    halves_that_ran_apart,
    a_damaged_container,
    a_damaged_configuration,
    no_daemon,
    a_secret_too_short,
    a_configuration_being_edited,
    a_damaged_discovery_secret,
}
"""These need a daemon to stop, or a volume to spoil."""
LONG = {
    wrong_passphrase_with_a_member_away,
    both_members_gone,
    blank_members,
    a_member_of_another_volume,
    a_raid_level_of_five,
    halves_that_ran_apart,
    a_damaged_container,
    a_configuration_being_edited,
    a_damaged_discovery_secret,
}
"""What these raise is tested where it is raised, too; only the sentence takes a daemon of one's own."""
CASES: list[tuple[Prepare, type[TwinlockError], str]] = [
    (member_missing, errors.MemberMissing, "/dev/no-such-disk"),
    (size_not_said, errors.BadOption, "--size"),
    (size_is_no_size, errors.BadOption, "huge"),
    (four_members, errors.BadOption, "one to three"),
    (odd_block_size, errors.BadOption, "512 or 4096"),
    (a_folder, errors.MemberUnusable, "folder"),
    (too_small, errors.MemberTooSmall, "a.img"),
    (second_too_small, errors.MemberTooSmall, "b.img"),
    (named_twice, errors.MemberNamedTwice, "a.img"),
    (one_file_by_two_names, errors.MemberNamedTwice, "a.img"),
    (a_filesystem, errors.MemberHasSignature, "photos"),
    (an_array, errors.MemberHasSignature, "array"),
    (served_already, errors.MemberInUse, "twinlock lock backup"),
    (odd_name, errors.NameInvalid, "lower-case"),
    (odd_target, errors.TargetNameInvalid, "iqn."),
    (taken_target, errors.TargetNameInvalid, "another volume"),
    (taken_name, errors.VolumeExists, "backup"),
    (no_such_volume, errors.NoSuchVolume, "nothing"),
    (empty_passphrase, errors.PassphraseUnusable, "empty"),
    (long_passphrase, errors.PassphraseUnusable, "512"),
    (no_passphrase_file, errors.PassphraseUnusable, "passphrase"),
    (no_terminal, errors.PassphraseUnusable, "--passphrase-file"),
    (wrong_passphrase, errors.WrongPassphrase, "backup"),
    (wrong_passphrase_with_a_member_away, errors.WrongPassphrase, "backup"),
    (both_members_gone, errors.NoMemberUsable, "is not there"),
    (blank_members, errors.NotAMember, "backup-1.img"),
    (a_member_of_another_volume, errors.MemberOfOtherArray, "backup-1.img"),
    (a_raid_level_of_five, errors.ArrayUnsupported, "level"),
    (halves_that_ran_apart, errors.MembersDiverged, "backup-1.img"),
    (a_damaged_container, errors.ContainerUnsupported, "LUKS"),
    (a_damaged_configuration, errors.ConfigurationInvalid, "line 2"),
    (a_second_daemon, errors.AlreadyServing, "another twinlock"),
    (a_port_in_use, errors.PortalUnavailable, "in use"),
    (an_odd_portal, errors.BadOption, "ADDRESS:PORT"),
    (no_daemon, errors.NotServing, "twinlock serve"),
    (an_unusable_root, errors.FolderUnusable, "/proc/twinlock"),
    (another_volume_by_a_crooked_path, errors.NoSuchVolume, "nothing/../backup"),
    (no_name, errors.NoSuchVolume, "no volume"),
    (more_than_any_disk, errors.BadOption, "--size"),
    (a_tar, errors.MemberHasSignature, "not known"),
    (a_passphrase_for_nothing, errors.BadOption, "--no-encryption"),
    (a_configuration_being_edited, errors.ConfigurationInvalid, "line 8"),
    (an_empty_target, errors.TargetNameInvalid, "iqn."),
    (an_odd_initiator, errors.InitiatorNameInvalid, "my pc"),
    (an_odd_network, errors.NetworkInvalid, "192.168.1.0/24 for the network"),
    (an_odd_chap, errors.BadOption, "auto, mutual or none"),
    (an_odd_discard, errors.BadOption, "yes or no"),
    (an_odd_initiator_set, errors.InitiatorNameInvalid, "my pc"),
    (an_odd_network_set, errors.NetworkInvalid, "home"),
    (both_a_list_and_none, errors.BadOption, "--any-network"),
    (secrets_without_chap, errors.BadOption, "--new-secrets"),
    (secrets_of_an_open_discovery, errors.BadOption, "--new-secrets"),
    (settings_of_no_volume, errors.NoSuchVolume, "nothing"),
    (a_link_local_portal, errors.BadOption, "%eth0"),
    (a_damaged_discovery_secret, errors.ConfigurationInvalid, "_discovery.toml"),
    (a_secret_too_short, errors.ConfigurationInvalid, "12 to 16"),
]


@pytest.mark.parametrize(
    ("prepare", "kind", "words"),
    [
        pytest.param(*case, id=case[0].__name__, marks=[pytest.mark.long] if case[0] in LONG else [])
        for case in CASES
    ],
)
def test_refused(scene: Scene, prepare: Prepare, kind: type[TwinlockError], words: str) -> None:
    command = prepare(scene)
    before = scene.digest()
    done = scene.daemon.cli(*command, check=False)
    assert done.returncode == kind.exit_code, done.stdout + done.stderr
    assert words in done.stderr
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("twinlock: ")]
    assert len(sentence) > 20
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr
    assert scene.digest() == before, "nothing was changed"


def test_a_half_made_volume_can_be_made_again(scene: Scene) -> None:
    """What a refused create leaves is nothing: the same names work afterwards."""
    refused = scene.daemon.cli(*second_too_small(scene), check=False)
    assert refused.returncode == errors.MemberTooSmall.exit_code
    assert not scene.a.exists()
    scene.b.unlink()
    scene.daemon.cli(*scene.create(scene.a, scene.b))
