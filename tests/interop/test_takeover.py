"""One initiator at a time, and a safe way in for the next."""

import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import MakeVolume
from tests.support.client import Client, Refused
from tests.support.daemon import TARGET_PREFIX, Daemon
from tests.support.initiator import Credentials, Initiator
from twinlock.wire.iscsi_codes import LoginStatus, TaskManagementFunction

TARGET = TARGET_PREFIX + "backup"
MAC, PC = "iqn.2026-11.example:mac", "iqn.2026-11.example:pc"


@pytest.fixture
def port(daemon: Daemon, make_volume: MakeVolume) -> int:
    make_volume("--no-encryption", "--chap", "none")
    return daemon.port


def test_a_living_holder_keeps_the_disk(port: int) -> None:
    with Client(port, TARGET, name=MAC) as holder:
        serving = threading.Thread(target=holder.await_end, args=(8,))  # answers the ping
        serving.start()
        started = time.monotonic()
        with pytest.raises(Refused) as refused:
            Client(port, TARGET, name=PC)
        assert refused.value.status == LoginStatus.OUT_OF_RESOURCES
        assert time.monotonic() - started < 5, "an answer to the ping decides at once"
        holder.sock.shutdown(2)
        serving.join()


def test_a_silent_holder_is_evicted_and_finds_itself_closed(port: int) -> None:
    with Client(port, TARGET, name=MAC) as silent:
        silent.write(0, b"m" * 512)
        started = time.monotonic()
        with Client(port, TARGET, name=PC) as newcomer:
            assert 9 < time.monotonic() - started < 20
            assert newcomer.read(0, 1) == b"m" * 512
        assert silent.await_end(5)


def test_the_same_initiator_comes_back_at_once(port: int) -> None:
    with Client(port, TARGET, name=MAC) as before:
        started = time.monotonic()
        with Client(port, TARGET, name=MAC) as again:
            assert time.monotonic() - started < 5
            again.write(0, b"x" * 512)
        assert before.await_end(5)


def test_after_a_logout_anyone_may_come(port: int) -> None:
    with Client(port, TARGET, name=MAC) as first:
        first.protocol.logout()
        assert first.await_end(5)
    with Client(port, TARGET, name=PC) as second:
        assert second.capacity()[1] == 512


def test_a_holder_that_was_cut_off_makes_nobody_wait(port: int) -> None:
    holder = Client(port, TARGET, name=MAC)
    threading.Timer(1, holder.reset).start()
    started = time.monotonic()
    with Client(port, TARGET, name=PC) as newcomer:
        assert time.monotonic() - started < 6, "a connection that ends is no reason to wait for an answer"
        assert newcomer.capacity()[1] == 512


def test_a_discovery_session_cannot_take_the_disk(daemon: Daemon, make_volume: MakeVolume) -> None:
    """The first request names the target and says that it goes on; the second one says it is a discovery."""
    make_volume()
    credentials = Credentials("backup", daemon.secret("backup").encode())
    with Client(daemon.port, TARGET, credentials, name=MAC) as holder:
        thief = Initiator(None, name=MAC)
        names = {"InitiatorName": MAC, "TargetName": TARGET}
        with socket.create_connection(("127.0.0.1", daemon.port), timeout=20) as sock:
            thief.login_request(names, transit=False, more=True)
            sock.sendall(thief.take_output())
            thief.receive(sock.recv(4096))
            thief.login_request({"SessionType": "Discovery", "AuthMethod": "None"}, transit=True)
            while thief.login_status is None:
                sock.sendall(thief.take_output())
                thief.receive(sock.recv(4096))
        assert thief.login_status == LoginStatus.SESSION_TYPE_NOT_SUPPORTED
        assert not thief.logged_in
        holder.write(0, b"m" * 512)
        assert holder.read(0, 1) == b"m" * 512


def test_task_management_under_load_is_answered(port: int) -> None:
    """Many flushes and ABORT TASK SETs at once: each is answered, and the disk goes on working."""
    with Client(port, TARGET) as client:
        flushes = []
        for _ in range(40):
            flushes.append(client.protocol.command(b"\x91".ljust(16, b"\0")))
            client.protocol.task_management(
                TaskManagementFunction.ABORT_TASK_SET, lun=bytes([0, 5]) + bytes(6)
            )
        for tag in flushes:
            assert client.wait(tag).status == 0
        client.write(0, b"x" * 512)
        assert client.read(0, 1) == b"x" * 512


def test_strangers_do_not_crowd_out_the_owner(daemon: Daemon, make_volume: MakeVolume) -> None:
    make_volume()
    strangers = []
    for _ in range(60):
        stranger = Initiator(TARGET)
        stranger.login_request({"InitiatorName": MAC, "TargetName": TARGET}, transit=False, more=True)
        sock = socket.create_connection(("127.0.0.1", daemon.port), timeout=20)
        sock.sendall(stranger.take_output())
        strangers.append(sock)
        time.sleep(0.02)  # the portal itself takes only so many at once from one address
    credentials = Credentials("backup", daemon.secret("backup").encode())
    with Client(daemon.port, TARGET, credentials, name=PC) as owner:
        owner.write(0, b"x" * 512)
        (pid,) = daemon.worker_pids()
        assert len(list(Path(f"/proc/{pid}/task").iterdir())) < 60
    for sock in strangers:
        sock.close()


def test_a_write_longer_than_any_command_may_be_is_refused(port: int) -> None:
    with Client(port, TARGET) as client:
        client.write(0, b"before!!" * 64)
        tag = client.protocol.command(
            b"\x8a" + bytes(9) + (1).to_bytes(4, "big") + bytes(2),
            write=b"x" * 512,
            in_command=512,
            expected_data_transfer_length=64 << 20,
        )
        assert client.wait(tag).status == 2
        assert client.read(0, 1) == b"before!!" * 64


# -- shared mode, and lists of who may come -----------------------------------------------------------


def test_two_machines_share_a_volume(daemon: Daemon, make_volume: MakeVolume) -> None:
    make_volume("--no-encryption", "--chap", "none", "--shared")
    with Client(daemon.port, TARGET, name=MAC) as one, Client(daemon.port, TARGET, name=PC) as other:
        one.write(0, b"1" * 512)
        assert other.read(0, 1) == b"1" * 512
        initiators = [session["initiator"] for session in daemon.status("backup")["open"]["sessions"]]
        assert initiators == [MAC, PC]
        with Client(daemon.port, TARGET, name=MAC) as again:
            assert again.read(0, 1) == b"1" * 512
            assert one.await_end(5), "the same initiator port still has one session"
        other.write(0, b"2" * 512)


def test_a_reset_of_the_unit_is_answered_by_the_second_run_of_a_test(
    daemon: Daemon, make_volume: MakeVolume
) -> None:
    """LUNResetSimpleAsync of libiscsi 1.19 asserts, before it has sent anything, that its reset was answered.

    So its first run in a process fails with every target; the second one finds what the first one heard.
    """
    url = make_volume("--no-encryption", "--chap", "none")
    done = subprocess.run(
        ["iscsi-test-cu", "--dataloss", "-t", "*.iSCSITMF.LUNResetSimpleAsync", url],
        check=False,
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=60,
    )
    results = [line for line in done.stdout.splitlines() if "LUNResetSimpleAsync ..." in line]
    assert len(results) == 2, done.stdout
    assert results[1].endswith("passed"), done.stdout


def test_lists_of_initiators_and_networks(daemon: Daemon, make_volume: MakeVolume) -> None:
    make_volume("--no-encryption", "--chap", "none", "--initiator", MAC, "--network", "127.0.0.0/8")
    with Client(daemon.port, TARGET, name=MAC.upper()) as listed:
        listed.write(0, b"x" * 512)
        with pytest.raises(Refused) as refused:
            Client(daemon.port, TARGET, name=PC)
        assert refused.value.status == LoginStatus.AUTHORIZATION_FAILURE
        assert listed.read(0, 1) == b"x" * 512


def test_a_network_that_is_not_listed(daemon: Daemon, make_volume: MakeVolume) -> None:
    make_volume("--no-encryption", "--chap", "none", "--network", "192.0.2.0/24")
    with pytest.raises(Refused) as refused:
        Client(daemon.port, TARGET, name=MAC)
    assert refused.value.status == LoginStatus.AUTHORIZATION_FAILURE


def test_wrong_secrets_are_counted_and_slowed_down(daemon: Daemon, make_volume: MakeVolume) -> None:
    make_volume()
    started = time.monotonic()
    for _ in range(3):
        with pytest.raises(Refused) as refused:
            Client(daemon.port, TARGET, Credentials("backup", b"a wrong secret"), name=PC)
        assert refused.value.status == LoginStatus.AUTHENTICATION_FAILURE
    assert time.monotonic() - started > 1, "half a second and one second"
    (failures,) = daemon.status("backup")["open"]["failed_logins"]
    assert (failures["address"], failures["count"]) == ("127.0.0.1", 3)
    with Client(daemon.port, TARGET, Credentials("backup", daemon.secret("backup").encode())) as owner:
        owner.write(0, b"x" * 512)
    assert daemon.status("backup")["open"]["failed_logins"] == []
