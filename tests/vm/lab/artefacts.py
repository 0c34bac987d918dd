"""Kernel and ramdisk, built once per set of packages and kept.

Each build has a folder of its own, named by a digest of all that goes in: the exact packages and
this folder's files.  It is built elsewhere and renamed, under a lock; so any number of test runs
may ask at the same time, and an interrupted build leaves nothing that looks finished.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.vm.lab import kernel, packages, ramdisk

HERE = Path(__file__).parent

KEEP_SECONDS = 14 * 24 * 3600.0
UNFINISHED = "build."

MERGED = ("bin", "sbin", "lib", "lib64")
"""Folders that are links into /usr on Debian; the packages' own paths still name both."""

UNWANTED = (
    "bin/tar",
    "usr/bin/*perl*",
    "usr/bin/dpkg*",
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/perl*",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/x86_64-linux-gnu/perl*",
    "usr/lib/x86_64-linux-gnu/libperl*",
    "lib/udev/hwdb.d",
    "lib/modules/*/kernel/sound",
    "lib/modules/*/kernel/drivers/gpu",
    "lib/modules/*/kernel/drivers/media",
    "lib/modules/*/kernel/drivers/net/ethernet",
    "lib/modules/*/kernel/drivers/net/wireless",
)
"""What no test needs; most of the packages' bulk."""


@dataclass(frozen=True, slots=True)
class Artefacts:
    """What QEMU starts."""

    kernel: Path
    ramdisk: Path


def build() -> Artefacts:
    """The artefacts of the packages as they are today; built if they are not there."""
    wanted = _lines("guest-packages.txt")
    done = _cache() / _digest(packages.plan(wanted))
    with _lock(_cache() / "lock"):
        _tidy(done)
        if not done.exists():
            _build(wanted, done)
        os.utime(done)
    return Artefacts(done / "vmlinux", done / "initrd.cpio")


def _build(wanted: list[str], done: Path) -> None:
    with tempfile.TemporaryDirectory(dir=done.parent, prefix=UNFINISHED) as scratch:
        work, root = Path(scratch), Path(scratch, "root")
        _make_root(root, packages.download(wanted, work / "packages"))
        result = work / "done"
        result.mkdir()
        (image,) = (root / "boot").glob("vmlinuz-*")
        (result / "vmlinux").write_bytes(kernel.bare_image(image.read_bytes()))
        shutil.rmtree(root / "boot")
        with (result / "initrd.cpio").open("wb") as archive:
            ramdisk.pack(root, archive)
        result.rename(done)


def _tidy(wanted: Path) -> None:
    """Remove what interrupted builds left, and what was not used for long; under the lock only."""
    for folder in set(wanted.parent.glob("*/")) - {wanted}:
        if folder.name.startswith(UNFINISHED) or time.time() - folder.stat().st_mtime > KEEP_SECONDS:
            shutil.rmtree(folder)


def _make_root(root: Path, fetched: list[Path]) -> None:
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for package in fetched:
        packages.unpack(package, root, UNWANTED)
    kernel.keep_modules(root, _lines("guest-modules.txt"))
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    shutil.copy(HERE / "init.sh", root / "init")
    (root / "init").chmod(0o755)


def _lines(name: str) -> list[str]:
    return (HERE / name).read_text().split()


def _digest(plan: list[str]) -> str:
    """A name for what is built from the packages ``plan`` and this folder's files."""
    own = sorted(path for path in HERE.iterdir() if path.is_file())
    parts = [*(name.encode() for name in plan), *(path.read_bytes() for path in own)]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:20]


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base, "twinlock", "vmlab")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
