"""The main job on real parts: make a volume, use it as an initiator does, lose a disk, get everything back.

Needs no root.  Everything happens in a temporary folder and on 127.0.0.1, and is gone afterwards.
"""

import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

VOLUME = "demo"
MEMBER_SIZE = "1G"
TREE = Path("/usr/share/doc")
MAX_TREE = 300 << 20
TARGET = f"iqn.2026-11.io.twinlock:{VOLUME}"
MARKERS = 40
"""Pieces of plaintext to look for."""
CHUNK = 4 << 20

console = Console(highlight=False, width=120)


class Failed(Exception):
    """A claim that does not hold."""


def run(*command: str | Path, environ: dict[str, str] | None = None, check: bool = True) -> str:
    """Run a command and return what it printed."""
    done = subprocess.run(
        [str(part) for part in command], env=environ, check=False, capture_output=True, text=True
    )
    if check and done.returncode:
        raise Failed(
            f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stdout}{done.stderr}"
        )
    return done.stdout + done.stderr


class Demo:
    """One run; each ``show_`` method proves one claim and returns its figure."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.members = [folder / "disk1.img", folder / "disk2.img"]
        self.image = folder / "filesystem.img"
        self.passphrase = folder / "passphrase"
        self.environ = os.environ | {"TWINLOCK_ROOT": str(folder / "root")}
        self.port = free_port()
        self.url = f"iscsi://127.0.0.1:{self.port}/{TARGET}/0"
        self.daemon: subprocess.Popen[bytes] | None = None
        self.digests: dict[str, str] = {}
        self.size = 0
        self.markers: list[bytes] = []

    # -- the parts --------------------------------------------------------------------------------

    def twinlock(self, *arguments: str | Path, check: bool = True) -> str:
        return run(sys.executable, "-m", "twinlock.cli.main", *arguments, environ=self.environ, check=check)

    def serve(self) -> None:
        with (self.folder / "serve.log").open("ab") as log:
            self.daemon = subprocess.Popen(
                [sys.executable, "-m", "twinlock.cli.main", "serve", "--portal", f"127.0.0.1:{self.port}"],
                env=self.environ,
                stdout=log,
                stderr=log,
            )
        for _ in range(300):
            if "listening" in self.twinlock("status", check=False):
                return
            time.sleep(0.1)
        raise Failed("twinlock serve does not answer")

    def stop(self) -> None:
        if self.daemon is not None:
            self.daemon.send_signal(signal.SIGTERM)
            if self.daemon.wait(60):
                raise Failed("twinlock serve did not stop cleanly")
            self.daemon = None

    def unlock(self) -> None:
        self.twinlock("unlock", VOLUME, "--passphrase-file", self.passphrase)

    def client(self, secret: str | None = None) -> dict[str, str]:
        """libiscsi's environment for CHAP."""
        with (self.folder / f"root/lib/secrets/{VOLUME}.toml").open("rb") as file:
            chap = tomllib.load(file)
        return os.environ | {
            "LIBISCSI_CHAP_USERNAME": chap["user"],
            "LIBISCSI_CHAP_PASSWORD": secret or chap["secret"],
        }

    # -- the claims -------------------------------------------------------------------------------

    def show_create(self) -> str:
        self.passphrase.write_text(secrets.token_urlsafe(18) + "\n")
        self.twinlock(
            "create", VOLUME, *self.members, "--size", MEMBER_SIZE, "--passphrase-file", self.passphrase
        )
        return f"2 members of {MEMBER_SIZE}iB, md 1.2 + LUKS2 (Argon2id)"

    def show_login(self) -> str:
        self.serve()
        self.unlock()
        listing = run("iscsi-ls", "-s", self.url.rsplit("/", 2)[0], environ=self.client())
        if TARGET not in listing:
            raise Failed(f"iscsi-ls does not see the target: {listing}")
        run("iscsi-inq", self.url, environ=self.client())
        capacity = run("iscsi-readcapacity16", self.url, environ=self.client())
        fields = dict(line.strip().split(":", 1) for line in capacity.splitlines() if ":" in line)
        self.size = int(fields["Total size"])
        return f"iscsi-ls, -inq, -readcapacity16 agree: {self.size >> 20} MiB"

    def show_wrong_chap(self) -> str:
        answer = run("iscsi-inq", self.url, environ=self.client(secret="wrong-secret-123"), check=False)
        if "Authentication" not in answer and "login" not in answer.lower():
            raise Failed(f"a wrong CHAP secret was not refused: {answer}")
        return "login refused"

    def show_wrong_passphrase(self) -> str:
        wrong = self.folder / "wrong"
        wrong.write_text("not the passphrase\n")
        self.twinlock("lock", VOLUME)
        answer = self.twinlock("unlock", VOLUME, "--passphrase-file", wrong, check=False)
        if "no keyslot" not in answer:
            raise Failed(f"a wrong passphrase was not refused: {answer}")
        self.unlock()
        return "no keyslot opens"

    def show_write(self) -> str:
        tree = self.folder / "tree"
        self.digests, total = copy_tree(TREE, tree)
        self.markers = pick_markers(tree)
        with self.image.open("wb") as file:
            file.truncate(self.size)
        run("mke2fs", "-q", "-t", "ext4", "-d", tree, self.image)
        started = time.monotonic()
        run(
            "qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", self.image, self.url, environ=self.client()
        )
        seconds = time.monotonic() - started
        return f"{len(self.digests)} files, {total >> 20} MiB, in {seconds:.1f} s"

    def show_no_plaintext(self) -> str:
        found = count(self.image, self.markers)
        if not found:
            raise Failed("the search finds nothing even in the plain image")
        leaked = sum(count(member, self.markers) for member in self.members)
        if leaked:
            raise Failed(f"{leaked} pieces of plaintext are on the members")
        return f"{found} pieces of text found in the plain image, 0 in the members"

    def show_restart(self) -> str:
        self.stop()
        self.serve()
        self.unlock()
        return self.compare()

    def show_lost_member(self) -> str:
        self.stop()
        self.members[0].unlink()
        self.serve()
        self.unlock()
        if "DEGRADED" not in self.twinlock("status", VOLUME):
            raise Failed("status does not say that a member is missing")
        return self.compare()

    def compare(self) -> str:
        """Read everything back through the target and compare every file."""
        back, files = self.folder / "back.img", self.folder / "back"
        run("qemu-img", "convert", "-f", "raw", "-O", "raw", self.url, back, environ=self.client())
        run("e2fsck", "-fn", back)
        shutil.rmtree(files, ignore_errors=True)
        files.mkdir()
        run("debugfs", "-R", f"rdump / {files}", back)
        same = sum(digest(files / name) == value for name, value in self.digests.items())
        back.unlink()
        if same != len(self.digests):
            raise Failed(f"only {same} of {len(self.digests)} files are as they were")
        return f"{same} of {len(self.digests)} files identical (SHA-256)"


def copy_tree(source: Path, target: Path) -> tuple[dict[str, str], int]:
    """Copy plain files until there is enough; their digests by relative name, and the bytes."""
    digests: dict[str, str] = {}
    total = 0
    for path in sorted(source.rglob("*")):
        if path.is_symlink() or not path.is_file() or total + path.stat().st_size > MAX_TREE:
            continue
        name = path.relative_to(source)
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / name)
        digests[str(name)] = digest(target / name)
        total += path.stat().st_size
    return digests, total


def digest(path: Path) -> str:
    if not path.is_file():
        return "missing"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pick_markers(tree: Path) -> list[bytes]:
    """32-byte pieces from the beginnings of files, varied enough not to occur by chance."""
    pieces = (path.read_bytes()[:32] for path in sorted(tree.rglob("*")) if path.is_file())
    return [piece for piece in pieces if len(set(piece)) >= 12][:MARKERS]


def count(path: Path, markers: list[bytes]) -> int:
    """How many of the markers occur in the file."""
    found: set[bytes] = set()
    tail = b""
    with path.open("rb") as file:
        for start, end in written_parts(file.fileno()):
            for offset in range(start, end, CHUNK):
                file.seek(offset)
                window = tail + file.read(min(CHUNK, end - offset))
                found.update(marker for marker in markers if marker in window)
                tail = window[-64:]
    return len(found)


def written_parts(descriptor: int) -> Iterator[tuple[int, int]]:
    """The parts of a sparse file that are no holes."""
    end = 0
    while True:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:  # only a hole is left
            return
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


CLAIMS: tuple[tuple[str, Callable[[Demo], str]], ...] = (
    ("two files become one volume", Demo.show_create),
    ("a real client logs in with CHAP", Demo.show_login),
    ("a wrong CHAP secret is turned away", Demo.show_wrong_chap),
    ("a wrong passphrase is turned away", Demo.show_wrong_passphrase),
    ("a real filesystem is written (ext4, QEMU's iSCSI driver)", Demo.show_write),
    ("no plaintext is in either member", Demo.show_no_plaintext),
    ("the data survive a restart", Demo.show_restart),
    ("one member destroyed: everything reads back", Demo.show_lost_member),
)


def main() -> int:
    """Exit status 0 only if every claim held."""
    table = Table(title="What was shown", title_justify="left")
    for heading in ("", "claim", "figure", "seconds"):
        table.add_column(heading, justify="right" if heading == "seconds" else "left")
    failed = False
    with tempfile.TemporaryDirectory(prefix="twinlock-demo.") as folder:
        demo = Demo(Path(folder))
        try:
            for claim, show in CLAIMS:
                console.print(f"... {claim}")
                started = time.monotonic()
                try:
                    figure, mark = show(demo), "[green]ok[/]"
                except Failed as error:
                    figure, mark, failed = str(error), "[red]FAILED[/]", True
                table.add_row(mark, claim, figure, f"{time.monotonic() - started:.1f}")
                if failed:
                    break
        finally:
            demo.stop()
    console.print(table)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
