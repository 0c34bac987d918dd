"""A real daemon in a folder of its own, and the command line to talk to it."""

import functools
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

from tests.support.forker import Forker

TARGET_PREFIX = "iqn.2026-11.io.twinlock:"
START_SECONDS = 30.0
COMMAND_SECONDS = 120.0
LIBISCSI_CHAP = {
    "user": "LIBISCSI_CHAP_USERNAME",
    "secret": "LIBISCSI_CHAP_PASSWORD",
    "mutual_user": "LIBISCSI_CHAP_TARGET_USERNAME",
    "mutual_secret": "LIBISCSI_CHAP_TARGET_PASSWORD",
}
"""Where libiscsi looks for what is stored; the mutual ones are there only if the target proves itself."""


class Daemon:
    """``twinlock serve`` with TWINLOCK_ROOT, on a portal of 127.0.0.1."""

    def __init__(self, root: Path, port: int | None = None, environ: dict[str, str] | None = None) -> None:
        self.root = root
        self.port = port or free_port()
        self.environ = (
            {key: value for key, value in os.environ.items() if not key.startswith("TWINLOCK")}
            | {"TWINLOCK_ROOT": str(root)}
            | (environ or {})
        )
        self.portals = [f"127.0.0.1:{self.port}"]
        self.wrapper: list[str] = []
        """A command that runs the daemon, for one in a network of its own."""
        self.process: subprocess.Popen[bytes] | None = None
        self.log = root / "serve.log"

    def start(self, *arguments: str) -> None:
        """Start and wait until the API answers."""
        self.root.mkdir(parents=True, exist_ok=True)
        portals = [word for portal in self.portals for word in ("--portal", portal)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, *twinlock(), "serve", *portals, *arguments],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"the daemon did not start:\n{self.log.read_text()}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        """Whether the API answers; the command line would take most of a second to say so."""
        with socket.socket(socket.AF_UNIX) as api:
            try:
                api.connect(str(self.root / "run/api.sock"))
                api.sendall(b"GET /v1/status HTTP/1.1\r\nHost: twinlock\r\nConnection: close\r\n\r\n")
                return bool(api.recv(1))
            except OSError:
                return False

    def stop(self) -> None:
        """SIGTERM, and wait: everything is flushed and marked clean."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(60) == 0, self.log.read_text()
            self.process = None

    def kill(self) -> None:
        """``kill -9`` of the supervisor; workers live on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def kill_all(self) -> None:
        """``kill -9`` of the supervisor and of every worker it has."""
        workers = self.worker_pids()
        if self.process is not None:
            self.kill()
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        while any(_alive(pid) for pid in workers):
            time.sleep(0.01)

    def cli(
        self, *arguments: str, stdin: bytes | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run ``twinlock`` with ``arguments``, in a process of its own."""
        done = _forker().run(arguments, self.environ, stdin or b"", COMMAND_SECONDS)
        result = subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )
        if check and result.returncode:
            raise AssertionError(
                f"{arguments} ended with {result.returncode}: {result.stdout}{result.stderr}"
            )
        return result

    def status(self, name: str) -> dict[str, Any]:
        """The report of one volume."""
        report: dict[str, Any] = json.loads(self.cli("status", name, "--json").stdout)
        volume: dict[str, Any] = report["volumes"][0]
        return volume

    def api(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """What the API answers; a command would take half a second to ask for it."""
        connection = http.client.HTTPConnection("twinlock", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.connect(str(self.root / "run/api.sock"))
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"content-type": "application/json"})
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return answer

    def members(self, name: str) -> dict[str, Any]:
        """What ``twinlock member list NAME --json`` shows."""
        return self.api("POST", f"/v1/volumes/{name}/tasks", {"task": "member-list"})

    def await_unlocked(self, name: str) -> dict[str, Any]:
        """The report of a volume once it is open; one without a key is opened after the API answers."""
        until = time.monotonic() + START_SECONDS
        while (report := self.api("GET", f"/v1/volumes/{name}"))["open"] is None:
            assert time.monotonic() < until, f"{name} is {report['state']}:\n{self.log.read_text()}"
            time.sleep(0.05)
        return report

    def secret(self, name: str) -> str:
        """The CHAP secret of a volume."""
        return self.chap(name)["secret"]

    def chap(self, name: str) -> dict[str, str]:
        """The CHAP credentials of a volume, as they are stored."""
        with (self.root / "lib/secrets" / f"{name}.toml").open("rb") as file:
            return tomllib.load(file)

    def worker_pids(self) -> list[int]:
        """The workers that live by sockets of this root."""
        return [pid for pid in _pids() if _is_worker(pid, self.root)]

    def iscsi_url(self, name: str, lun: int = 0) -> str:
        """For libiscsi and QEMU; CHAP comes from the environment, see :meth:`chap_environ`."""
        return f"iscsi://127.0.0.1:{self.port}/{TARGET_PREFIX}{name}/{lun}"

    def chap_environ(self, name: str) -> dict[str, str]:
        """The environment in which libiscsi's users log in to ``name``."""
        chap = self.chap(name)
        return os.environ | {variable: chap[key] for key, variable in LIBISCSI_CHAP.items() if key in chap}

    def __enter__(self) -> "Daemon":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self.kill_all()


@functools.cache
def _forker() -> Forker:
    """One for all commands of this process."""
    return Forker()


def twinlock() -> list[str]:
    """The command, run by this interpreter."""
    return [sys.executable, "-m", "twinlock.cli.main"]


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _is_worker(pid: int, root: Path) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"twinlock.server.worker" in command and f"TWINLOCK_ROOT={root}".encode() in environ
