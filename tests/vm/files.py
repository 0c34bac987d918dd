"""Files to keep: a tree with contents that can be told apart, its digests, and filesystems made of it."""

import hashlib
import os
import random
from pathlib import Path

from tests.vm.lab.tools import run

KIB, MIB = 1 << 10, 1 << 20
SIZES = (0, 1, 511, 4096, 5000, 100 * KIB, 1 * MIB + 1, 6 * MIB)


def sparse(path: Path, size: int) -> Path:
    """A file of ``size`` bytes without contents."""
    path.touch()
    os.truncate(path, size)
    return path


def make_tree(folder: Path, seed: int) -> dict[str, str]:
    """Fill ``folder`` (new) with files of many sizes and return their digests."""
    for number, size in enumerate(SIZES * 2):
        path = folder / f"folder-{number % 5}" / f"file-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        random_file(path, size, seed * 100 + number)
    return digests_of(folder)


def random_file(path: Path, size: int, seed: int = 0) -> str:
    """A file of ``size`` bytes; returns its digest."""
    path.write_bytes(content := random.Random(seed).randbytes(size))
    return hashlib.sha256(content).hexdigest()


def digests_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below ``folder``, by its path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def digests_in(listing: str) -> dict[str, str]:
    """The same from what sha256sum printed."""
    lines = (line.split("  ", 1) for line in listing.splitlines())
    return {path.removeprefix("./"): digest for digest, path in lines}


def partitioned_image(path: Path, tree: Path, sector_size: int, size: int = 64 * MIB) -> None:
    """A disk's image with sectors of ``sector_size``, whose first partition is an ext4 with ``tree``."""
    sparse(path, size)
    run("fdisk", "-b", sector_size, path, typed=f"o\nn\np\n1\n{MIB // sector_size}\n\nw\n")
    offset = f"offset={MIB},lazy_itable_init=0,lazy_journal_init=0"
    run("mke2fs", "-q", "-t", "ext4", "-b", 4096, "-E", offset, "-d", tree, path, f"{(size - MIB) // KIB}k")


def extract(image: Path, folder: Path) -> dict[str, str]:
    """Check the ext4 in ``image``, copy its files into ``folder`` (new) and return their digests."""
    folder.mkdir()
    run("e2fsck", "-fn", image)
    run("debugfs", "-R", f"rdump / {folder}", image)
    return digests_of(folder)


def replay_journal(image: Path) -> None:
    """Bring the ext4 in ``image`` from where a crash left it to a consistent state, as a mount does."""
    run("e2fsck", "-p", image, accept=(0, 1))


def add(image: Path, folder: Path, seed: int) -> dict[str, str]:
    """Store more files in the ext4 in ``image`` (via ``folder``, new) and return their digests."""
    folder.mkdir()
    names = [f"added-{seed}-{size}" for size in SIZES]
    added = {name: random_file(folder / name, size, seed) for name, size in zip(names, SIZES, strict=True)}
    run("debugfs", "-w", image, typed="".join(f"write {folder / name} {name}\n" for name in names))
    return added
