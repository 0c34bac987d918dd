"""What is set for a volume is what a real initiator meets: libiscsi's tools against a real daemon."""

import json
import os
import subprocess
import tomllib

import pytest

from tests.support.client import Client, Refused
from tests.support.daemon import TARGET_PREFIX, Daemon
from tests.support.initiator import Credentials
from twinlock.wire.iscsi_codes import LoginStatus

PC, MAC = "iqn.2026-11.net.example:pc", "iqn.2026-11.net.example:mac"
TARGET = TARGET_PREFIX + "backup"
GOOD, CHECK_CONDITION = 0, 2
DATA_PROTECT = 7


def create(daemon: Daemon, *options: str, chap: str = "none") -> str:
    """A small volume, unlocked; what the command said."""
    members = [str(daemon.root.parent / f"disk{number}.img") for number in range(2)]
    return daemon.cli(
        "create", "backup", *members, "--size", "16M", "--no-encryption", "--chap", chap, *options
    ).stdout


def again(daemon: Daemon, *options: str) -> str:
    """Change settings, and let them count."""
    told = daemon.cli("set", "backup", *options).stdout
    assert "served as before until" in told
    daemon.cli("lock", "backup")
    daemon.cli("unlock", "backup")
    return told


def tool(daemon: Daemon, *command: str, **chap: str) -> subprocess.CompletedProcess[str]:
    """A libiscsi tool against the volume; ``chap`` are its variables, without their prefix."""
    environ = os.environ | {f"LIBISCSI_CHAP_{key.upper()}": value for key, value in chap.items()}
    return subprocess.run(
        command, check=False, env=environ, capture_output=True, text=True, errors="replace", timeout=60
    )


def inquire(daemon: Daemon, name: str = PC, **chap: str) -> bool:
    return not tool(daemon, "iscsi-inq", "-i", name, daemon.iscsi_url("backup"), **chap).returncode


def discover(daemon: Daemon, name: str = PC, **chap: str) -> str:
    done = tool(daemon, "iscsi-ls", "-i", name, f"iscsi://127.0.0.1:{daemon.port}", **chap)
    return done.stdout + done.stderr


def secrets(daemon: Daemon, name: str = "backup") -> dict[str, str]:
    kept = tomllib.loads((daemon.root / "lib/secrets" / f"{name}.toml").read_text())
    return {
        "username": kept["user"],
        "password": kept["secret"],
        **({"target_username": kept["mutual_user"]} if "mutual_user" in kept else {}),
        **({"target_password": kept["mutual_secret"]} if "mutual_secret" in kept else {}),
    }


def test_only_the_initiators_on_the_list(daemon: Daemon) -> None:
    create(daemon, "--initiator", PC)
    assert TARGET in discover(daemon, PC)
    assert TARGET not in discover(daemon, MAC)
    assert inquire(daemon, PC)
    assert not inquire(daemon, MAC)
    with pytest.raises(Refused) as refused:
        Client(daemon.port, TARGET, name=MAC)
    assert refused.value.status == LoginStatus.AUTHORIZATION_FAILURE
    again(daemon, "--any-initiator")
    assert inquire(daemon, MAC)


def test_only_the_networks_on_the_list(daemon: Daemon) -> None:
    create(daemon, "--network", "127.0.0.0/8", "--network", "fd00::/8")
    assert TARGET in discover(daemon)
    assert inquire(daemon)
    again(daemon, "--network", "192.0.2.0/24")
    assert TARGET not in discover(daemon)
    with pytest.raises(Refused) as refused:
        Client(daemon.port, TARGET, name=PC)
    assert refused.value.status == LoginStatus.AUTHORIZATION_FAILURE
    again(daemon, "--any-network")
    assert inquire(daemon)


def test_read_only_and_back(daemon: Daemon) -> None:
    create(daemon)
    with Client(daemon.port, TARGET) as client:
        client.write(0, b"before!!" * 64)
    again(daemon, "--read-only")
    with Client(daemon.port, TARGET) as client:
        outcome = client.execute(b"\x8a" + bytes(9) + (1).to_bytes(4, "big") + bytes(2), write=b"x" * 512)
        assert outcome.status == CHECK_CONDITION
        assert outcome.sense[2] & 0xF == DATA_PROTECT
        assert client.read(0, 1) == b"before!!" * 64
    assert "refused: read-only" in daemon.cli("status", "backup").stdout
    again(daemon, "--read-write")
    with Client(daemon.port, TARGET) as client:
        client.write(0, b"after!!!" * 64)
        assert client.read(0, 1) == b"after!!!" * 64


def test_without_discard_none_is_offered_and_none_is_done(daemon: Daemon) -> None:
    create(daemon, "--discard", "no")
    for offered in (False, True):
        with Client(daemon.port, TARGET) as client:
            capacity = client.execute(
                b"\x9e\x10" + bytes(8) + (32).to_bytes(4, "big") + bytes(2), read=32
            ).data
            assert bool(capacity[14] & 0x80) is offered, "LBPME"
            one = bytes([0, 22, 0, 16, 0, 0, 0, 0]) + bytes(8) + (8).to_bytes(4, "big") + bytes(4)
            unmap = client.execute(b"\x42" + bytes(6) + len(one).to_bytes(2, "big") + b"\0", write=one)
            assert unmap.status == (GOOD if offered else CHECK_CONDITION)
        if not offered:
            again(daemon, "--discard", "yes")


def test_shared_lets_in_several_and_status_shows_them_all(daemon: Daemon) -> None:
    told = create(daemon, "--shared")
    assert "cluster file system" in told
    with Client(daemon.port, TARGET, name=PC) as one, Client(daemon.port, TARGET, name=MAC) as other:
        one.write(0, b"from pc!" * 64)
        assert other.read(0, 1) == b"from pc!" * 64
        shown = daemon.cli("status", "backup").stdout
        assert f"{PC} from 127.0.0.1" in shown
        assert f"{MAC} from 127.0.0.1" in shown
        assert "shared by several initiators" in shown
    assert "cluster file system" in daemon.cli("connect", "backup").stdout
    daemon.cli("set", "backup", "--exclusive")
    waiting = daemon.cli("status", "backup").stdout
    assert "shared by several initiators" in waiting
    assert "from its next unlock on" in waiting
    daemon.cli("lock", "backup")
    locked = daemon.cli("status", "backup").stdout
    assert "shared by several initiators" not in locked
    assert "from its next unlock on" not in locked


def test_an_initiators_name_stays_on_its_line(daemon: Daemon) -> None:
    create(daemon)
    with Client(daemon.port, TARGET, name=PC + "\nforged\x1b[2J"):
        shown = daemon.cli("status", "backup").stdout
    logged = (daemon.root / "lib/logs/backup.log").read_text()
    for text in (shown, logged):
        assert PC + r"\nforged\x1b[2J" in text
        assert "\x1b" not in text


def test_new_secrets_wait_and_are_told_of(daemon: Daemon) -> None:
    create(daemon, chap="auto")
    before = secrets(daemon)
    assert "changed" not in daemon.cli("status", "backup").stdout
    daemon.cli("set", "backup", "--new-secrets")
    assert inquire(daemon, **before)
    daemon.kill()
    daemon.start()
    for command in ("set", "status", "connect"):
        assert "unlock" in daemon.cli(command, "backup").stdout.replace("unlocked", "")
    again(daemon)
    assert "changed" not in daemon.cli("status", "backup").stdout
    assert not inquire(daemon, **before)
    assert inquire(daemon, **secrets(daemon))


def test_a_target_renamed_by_hand_keeps_its_name_until_the_next_unlock(daemon: Daemon) -> None:
    create(daemon)
    daemon.kill()
    config = daemon.root / "etc/twinlock.toml"
    renamed = "iqn.2026-11.net.example:renamed"
    config.write_text(config.read_text() + f'target = "{renamed}"\n')
    daemon.start()
    assert TARGET in discover(daemon)
    assert inquire(daemon)
    daemon.cli("lock", "backup")
    daemon.cli("unlock", "backup")
    assert renamed in discover(daemon)
    assert not inquire(daemon)


def test_mutual_chap_from_create_to_the_initiator(daemon: Daemon) -> None:
    told = create(daemon, chap="mutual")
    pairs = secrets(daemon)
    assert pairs["password"] in told
    assert pairs["target_password"] in told
    assert inquire(daemon, **pairs)
    assert not inquire(daemon, **pairs | {"target_password": "not what it is"})
    assert not inquire(daemon, **pairs | {"password": "not what it is"})
    shown = daemon.cli("connect", "backup").stdout
    assert "node.session.auth.username_in -v twinlock" in shown
    assert not any(secret in shown for secret in (pairs["password"], pairs["target_password"]))


def test_chap_is_renewed_and_made_mutual_later(daemon: Daemon) -> None:
    create(daemon, chap="auto")
    before = secrets(daemon)
    told = again(daemon, "--chap", "mutual", "--new-secrets")
    pairs = secrets(daemon)
    assert pairs["password"] in told
    assert inquire(daemon, **pairs)
    assert not inquire(daemon, **before)


def test_discovery_that_asks_for_chap(daemon: Daemon) -> None:
    create(daemon)
    assert TARGET in discover(daemon)
    daemon.cli("discovery", "--chap", "auto")
    pairs = secrets(daemon, "_discovery")
    assert TARGET in discover(daemon, **pairs)
    assert TARGET not in discover(daemon)
    assert TARGET not in discover(daemon, **pairs | {"password": "not what it is"})
    failed = json.loads(daemon.cli("status", "--json").stdout)["failed_discoveries"]
    assert [each["address"] for each in failed] == ["127.0.0.1"]
    assert "wrong secret" in daemon.cli("status").stdout
    assert "Discovery asks for CHAP user discovery" in daemon.cli("connect", "backup").stdout
    daemon.cli("discovery", "--chap", "mutual", "--new-secrets")
    assert TARGET not in discover(daemon, **pairs)
    assert TARGET in discover(daemon, **secrets(daemon, "_discovery"))
    daemon.cli("discovery", "--chap", "none")
    assert TARGET in discover(daemon)


def test_wrong_secrets_of_a_volume_are_shown_with_their_address(daemon: Daemon) -> None:
    create(daemon, chap="auto")
    with pytest.raises(Refused):
        Client(daemon.port, TARGET, Credentials("backup", b"not what it is"))
    (failed,) = daemon.status("backup")["open"]["failed_logins"]
    assert (failed["address"], failed["count"]) == ("127.0.0.1", 1)
    assert "once from 127.0.0.1" in daemon.cli("status", "backup").stdout


def test_settings_are_changed_without_a_daemon_too(daemon: Daemon) -> None:
    create(daemon)
    daemon.stop()
    told = daemon.cli("set", "backup", "--read-only", "--initiator", PC).stdout
    assert "refused: read-only" in told
    assert "served as before" not in told
    daemon.start()
    assert daemon.await_unlocked("backup")["open"]["read_only"]


def test_a_supervisor_that_adopts_knows_what_a_volume_was_unlocked_with(daemon: Daemon) -> None:
    create(daemon)
    daemon.kill()
    config = daemon.root / "etc/twinlock.toml"
    config.write_text(config.read_text() + "read_only = true\n")
    daemon.start()
    report = daemon.status("backup")
    assert report["settings"]["read_only"] is False
    assert report["next_settings"]["read_only"] is True
    with Client(daemon.port, TARGET) as client:
        client.write(0, b"x" * 512)


REGISTER, READ_KEYS = 0x00, 0x00
KEY = b"mine!!!!"


@pytest.fixture
def reserved(daemon: Daemon) -> Daemon:
    """A volume with a registration that outlives restarts (APTPL)."""
    create(daemon, "--shared")
    with Client(daemon.port, TARGET, name=PC) as client:
        parameters = bytes(8) + KEY + bytes(4) + b"\x01" + bytes(3)
        cdb = bytes([0x5F, REGISTER, 0, 0, 0]) + len(parameters).to_bytes(4, "big") + b"\0"
        assert client.execute(cdb, write=parameters).status == GOOD
    return daemon


def keys(daemon: Daemon) -> bytes:
    with Client(daemon.port, TARGET, name=MAC) as client:
        cdb = bytes([0x5E, READ_KEYS]) + bytes(5) + (64).to_bytes(2, "big") + b"\0"
        return bytes(client.execute(cdb, read=64).data)[8:]


def test_reservations_outlive_lock_and_unlock(reserved: Daemon) -> None:
    reserved.cli("lock", "backup")
    reserved.cli("unlock", "backup")
    assert keys(reserved) == KEY
    kept = list((reserved.root / "lib/reservations").iterdir())
    assert [path.stat().st_mode & 0o777 for path in kept] == [0o600]


def test_a_volume_made_anew_inherits_no_reservation(reserved: Daemon) -> None:
    reserved.stop()
    (reserved.root / "etc/twinlock.toml").unlink()
    for path in reserved.root.parent.glob("disk*.img"):
        path.unlink()
    reserved.start()
    create(reserved, "--shared")
    assert keys(reserved) == b""
    assert list((reserved.root / "lib/reservations").iterdir()) == []
