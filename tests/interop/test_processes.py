"""What a running worker and supervisor promise about secrets, files and time."""

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import PASSPHRASE, MakeVolume
from tests.support.daemon import Daemon, twinlock
from twinlock import errors
from twinlock.server import control
from twinlock.server.messages import Envelope, Hello, Identity


def worker(daemon: Daemon) -> int:
    (pid,) = daemon.worker_pids()
    return pid


def proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


def hello(daemon: Daemon, name: str) -> Identity:
    """Ask a worker as a supervisor does (which it then takes us for)."""
    with control.packet_socket() as sock:
        sock.connect(control.address(daemon.root / "run/workers" / f"{name}.sock"))
        sock.send(control.encode(Envelope(id=1, request=Hello())))
        reply = control.decode(control.receive(sock)[0])
    return Identity.model_validate(reply.result)


def test_a_worker_leaves_no_core_and_cannot_be_dumped(daemon: Daemon, make_volume: MakeVolume) -> None:
    make_volume()
    pid = worker(daemon)
    assert re.search(r"^Max core file size +0 +0 ", proc(pid, "limits"), re.MULTILINE)
    daemon.kill()
    assert hello(daemon, "backup").dumpable is False


KEY_FLAGS = {"lo", "dd", "wf"}
"""Of a mapping, in smaps: locked, left out of dumps, wiped in a forked child."""


def test_the_key_is_waited_for_in_locked_memory(
    daemon: Daemon, make_volume: MakeVolume, passphrase_file: Path
) -> None:
    """Its buffer is there while libcryptsetup derives the key."""
    make_volume("--iter-time", "300")
    daemon.cli("lock", "backup")
    command = [*twinlock(), "unlock", "backup", "--passphrase-file", str(passphrase_file)]
    seen = []
    with subprocess.Popen(command, env=daemon.environ, stdout=subprocess.DEVNULL) as unlocking:
        while unlocking.poll() is None:
            time.sleep(0.02)  # whoever looks all the time takes the processor away from the derivation
            with contextlib.suppress(OSError, ValueError):  # the worker is not there yet
                seen += [
                    part.flags & {"lo", "dd", "wf"} for pid in daemon.worker_pids() for part in mappings(pid)
                ]
    assert unlocking.returncode == 0
    assert {"lo", "dd", "wf"} in seen
    held = [part for part in mappings(worker(daemon)) if {"lo", "dd", "wf"} <= part.flags]
    assert held == [], "it is wiped and given back once the cipher is made"


class Mapping:
    """A line of /proc/PID/smaps that begins a mapping, with its flags."""

    def __init__(self, header: str) -> None:
        start, _, end = header.split()[0].partition("-")
        self.start, self.end = int(start, 16), int(end, 16)
        self.readable = header.split()[1].startswith("r")
        self.name = header.split()[5] if len(header.split()) > 5 else ""
        self.flags: set[str] = set()


def mappings(pid: int) -> list[Mapping]:
    found: list[Mapping] = []
    for line in proc(pid, "smaps").splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            found.append(Mapping(line))
        elif line.startswith("VmFlags:"):
            found[-1].flags = set(line.split()[1:])
    return found


def places(pid: int, needle: bytes) -> list[Mapping]:
    """The mappings of a process in whose memory the bytes are."""
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for part in mappings(pid):
            if not part.readable or part.name in ("[vvar]", "[vsyscall]", "[vdso]"):
                continue
            memory.seek(part.start)
            try:
                data = memory.read(part.end - part.start)
            except OSError:
                continue
            if needle in (data or b""):
                found.append(part)
    return found


def volume_key(member: Path, passphrase: Path, tmp_path: Path) -> bytes:
    """The volume key as stock cryptsetup tells it."""
    examined = subprocess.run(
        ["mdadm", "--examine", member], check=True, capture_output=True, text=True
    ).stdout
    match = re.search(r"Data Offset : (\d+) sectors", examined)
    assert match is not None
    container, key = tmp_path / "container", tmp_path / "key"
    with member.open("rb") as file:
        file.seek(int(match[1]) * 512)
        container.write_bytes(file.read(32 << 20))
    stripped = tmp_path / "stripped"
    stripped.write_bytes(passphrase.read_bytes().removesuffix(b"\n"))
    dump = ["cryptsetup", "luksDump", "-q", "--dump-volume-key", "--volume-key-file", str(key)]
    subprocess.run([*dump, "-d", str(stripped), str(container)], check=True, capture_output=True)
    return key.read_bytes()


def test_the_volume_key_is_left_nowhere_in_one_piece(
    daemon: Daemon, make_volume: MakeVolume, members: list[Path], passphrase_file: Path, tmp_path: Path
) -> None:
    make_volume()
    assert daemon.process is not None
    key = volume_key(members[0], passphrase_file, tmp_path)
    assert len(key) == 64
    assert places(os.getpid(), key), "the search finds what is there"
    assert places(worker(daemon), key) == [], "only its halves, in OpenSSL's key schedules"
    assert places(daemon.process.pid, key[:32]) == []
    assert places(daemon.process.pid, key[32:]) == []


def test_secrets_are_in_no_argument_environment_or_log(daemon: Daemon, make_volume: MakeVolume) -> None:
    make_volume()
    assert daemon.process is not None
    secrets = (PASSPHRASE, daemon.secret("backup").encode())
    for pid in (daemon.process.pid, worker(daemon)):
        for name in ("cmdline", "environ"):
            assert not any(secret in Path(f"/proc/{pid}/{name}").read_bytes() for secret in secrets)
    kept = daemon.root / "lib/secrets/backup.toml"
    for path in daemon.root.rglob("*"):
        if path.is_file() and path != kept:
            assert not any(secret in path.read_bytes() for secret in secrets), path
    assert kept.stat().st_mode & 0o777 == 0o600


def test_sockets_and_logs_are_private(daemon: Daemon, make_volume: MakeVolume) -> None:
    make_volume()
    for path in [daemon.root / "run/api.sock", *(daemon.root / "lib/logs").iterdir()]:
        assert path.stat().st_mode & 0o077 == 0, path


def cpu_seconds(pid: int) -> float:
    ticks = proc(pid, "stat").rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.long
def test_ten_bytes_of_a_login_and_then_silence(daemon: Daemon, make_volume: MakeVolume) -> None:
    url = make_volume()
    assert daemon.process is not None
    silent = [socket.create_connection(("127.0.0.1", daemon.port)) for _ in range(5)]
    for sock in silent:
        sock.sendall(b"\x43\x87" + bytes(8))
        sock.settimeout(30)
    before, started = cpu_seconds(daemon.process.pid), time.monotonic()
    assert [sock.recv(1) for sock in silent] == [b""] * len(silent), "each is closed, without an answer"
    assert 10 < time.monotonic() - started < 25
    assert cpu_seconds(daemon.process.pid) - before < 0.5
    command = ["iscsi-inq", url]
    subprocess.run(command, check=True, env=daemon.chap_environ("backup"), capture_output=True)


GARBAGE = (b"GET / HTTP/1.0\r\n\r\n", random.Random(1).randbytes(4096), b"\x43\x87" + b"\xff" * 100)


def test_garbage_closes_that_connection_only(daemon: Daemon, make_volume: MakeVolume) -> None:
    url = make_volume()
    for garbage in GARBAGE:
        with (
            socket.create_connection(("127.0.0.1", daemon.port)) as sock,
            contextlib.suppress(ConnectionResetError),
        ):
            sock.sendall(garbage)
            sock.settimeout(5)
            while sock.recv(4096):
                pass
        subprocess.run(["iscsi-inq", url], check=True, env=daemon.chap_environ("backup"), capture_output=True)


CALLS = (
    "openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,"
    "symlink,symlinkat,link,linkat,chmod,fchmodat,mknod,mknodat"
)


def test_no_file_is_touched_outside_the_root(
    tmp_path: Path, passphrase_file: Path, members: list[Path]
) -> None:
    trace = tmp_path / "trace"
    script = tmp_path / "all.sh"
    script.write_text(
        """
        set -e
        twinlock() { "$PYTHON" -m twinlock.cli.main "$@"; }
        twinlock create backup "$A" "$B" --size 64M --passphrase-file "$KEY" --iter-time 0
        "$PYTHON" -m twinlock.cli.main serve --portal 127.0.0.1:0 & daemon=$!
        until twinlock status; do sleep 0.2; done
        twinlock unlock backup --passphrase-file "$KEY"
        twinlock status backup --json
        twinlock connect backup
        twinlock lock backup
        kill $daemon; wait $daemon
        """
    )
    environ = os.environ | {
        "TWINLOCK_ROOT": str(tmp_path / "root"),
        "PYTHON": sys.executable,
        "PYTHONDONTWRITEBYTECODE": "1",
        "A": str(members[0]),
        "B": str(members[1]),
        "KEY": str(passphrase_file),
        "HOME": str(tmp_path / "home"),
    }
    command = ["strace", "-f", "-qq", "-e", f"trace={CALLS}", "-o", str(trace), "sh", str(script)]
    done = subprocess.run(command, check=False, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    changed = {path for line in trace.read_text().splitlines() if (path := changed_path(line))}
    allowed = (
        str(tmp_path / "root"),
        *map(str, members),
        "/dev/null",
        "/dev/tty",
        "/proc/self/",
        "/proc/thread-self/",
    )
    assert {path for path in changed if not path.startswith(allowed)} == set()
    assert any(path.startswith(str(tmp_path / "root")) for path in changed), "the trace shows what is touched"
    assert not (tmp_path / "home").exists()


def changed_path(line: str) -> str | None:
    """The path that a traced call made, changed or opened for writing; None for any other call."""
    match = re.search(r'(\w+)\((?:AT_FDCWD, )?"([^"]*)"(.*)\) = (-?\d+)', line)
    if match is None or match[4].startswith("-"):
        return None
    if match[1] in ("open", "openat") and not re.search(r"O_WRONLY|O_RDWR|O_CREAT", match[3]):
        return None
    return match[2]


def test_nothing_is_imported_from_the_current_folder(tmp_path: Path, passphrase_file: Path) -> None:
    (tmp_path / "selectors.py").write_text("open('planted', 'w')\n")
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environ["TWINLOCK_ROOT"] = str(tmp_path / "root")
    command = [str(Path(sys.executable).with_name("twinlock")), "create", "backup", "a.img", "b.img"]
    options = ["--size", "64M", "--passphrase-file", str(passphrase_file), "--iter-time", "0"]
    subprocess.run([*command, *options], check=True, env=environ, cwd=tmp_path, capture_output=True)
    assert not (tmp_path / "planted").exists()


def test_two_creates_of_one_name_make_one_volume(daemon: Daemon, tmp_path: Path) -> None:
    members = [[str(tmp_path / f"{half}{number}.img") for half in "ab"] for number in (1, 2)]
    commands = [[*twinlock(), "create", "new", *pair, "--size", "64M", "--no-encryption"] for pair in members]
    running = [
        subprocess.Popen(command, env=daemon.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for command in commands
    ]
    for process in running:
        process.communicate(timeout=60)
    assert sorted(process.returncode for process in running) == [0, errors.VolumeExists.exit_code]
    assert len([path for pair in members for path in pair if Path(path).exists()]) == 2
    daemon.stop()
    daemon.start()


def interruptible(command: list[str], environ: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a command that Ctrl-C ends, also where it is ignored, as it is for jobs in the background."""
    return subprocess.Popen(["env", "--default-signal=INT", *command], env=environ, stderr=subprocess.DEVNULL)


def test_an_interrupted_create_changes_nothing(
    tmp_path: Path, members: list[Path], passphrase_file: Path
) -> None:
    """Ctrl-C while the key is derived: the worker notices that nobody waits any more."""
    daemon = Daemon(tmp_path / "root")
    command = [*twinlock(), "create", "backup", *map(str, members), "--size", "64M"]
    creating = interruptible([*command, "--passphrase-file", str(passphrase_file)], daemon.environ)
    until = time.monotonic() + 20
    while not members[1].exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    creating.send_signal(signal.SIGINT)
    creating.wait(20)
    while daemon.worker_pids():
        assert time.monotonic() < until + 60
        time.sleep(0.1)
    assert not any(member.exists() for member in members)
    assert not (tmp_path / "root/etc/twinlock.toml").exists()


@pytest.mark.long
def test_a_create_that_is_interrupted_stops_the_daemon_too(
    daemon: Daemon, members: list[Path], passphrase_file: Path
) -> None:
    """Ctrl-C while the key is derived, as above, with a daemon that does the work."""
    command = [*twinlock(), "create", "backup", *map(str, members), "--size", "64M", "--iter-time", "2000"]
    creating = interruptible([*command, "--passphrase-file", str(passphrase_file)], daemon.environ)
    until = time.monotonic() + 60
    while not members[1].exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    creating.send_signal(signal.SIGINT)
    creating.wait(20)
    while daemon.worker_pids():
        assert time.monotonic() < until + 60
        time.sleep(0.1)
    assert not any(member.exists() for member in members)
    assert "no volumes yet" in daemon.cli("status").stdout
    assert "Traceback" not in daemon.log.read_text()


def test_one_damaged_secret_does_not_hide_the_other_volumes(
    daemon: Daemon, make_volume: MakeVolume, tmp_path: Path
) -> None:
    make_volume()
    others = [str(tmp_path / "c.img"), str(tmp_path / "d.img")]
    daemon.cli("create", "other", *others, "--size", "64M", "--no-encryption")
    kept = daemon.root / "lib/secrets/other.toml"
    kept.write_text("half a li")
    assert "every member holds everything" in daemon.cli("status").stdout
    kept.unlink()
    daemon.cli("status")
    assert not kept.exists(), "looking changes nothing"
