"""Debian packages without installing them.

apt resolves against an empty system and only downloads, with the host's own package lists; so the
outcome does not depend on what the host has installed, and needs no root.
"""

import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path


class PackagesUnavailable(Exception):
    """apt could not name or fetch the packages."""


def plan(packages: Sequence[str]) -> list[str]:
    """File names (package, version, architecture) of ``packages`` and all they depend on, sorted."""
    with tempfile.TemporaryDirectory() as empty:
        lines = _apt(Path(empty), "--print-uris", packages).splitlines()
    return sorted(line.split()[1] for line in lines if line.startswith("'"))


def download(packages: Sequence[str], folder: Path) -> list[Path]:
    """Fetch ``packages`` and all they depend on into ``folder``; apt checks their digests."""
    _apt(folder, "--download-only", packages)
    return sorted(folder.glob("*.deb"))


def unpack(package: Path, root: Path, without: Iterable[str]) -> None:
    """Extract ``package`` below ``root`` except for the paths ``without``; no maintainer script runs."""
    extract = ["tar", "-x", "-C", str(root), "--keep-directory-symlink", "--no-same-owner", "--wildcards"]
    extract += [f"--exclude=./{path}" for path in without]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as archive:
        subprocess.run(extract, stdin=archive.stdout, check=True)
    if archive.returncode:
        raise PackagesUnavailable(f"{package} cannot be unpacked")


def _apt(folder: Path, mode: str, packages: Sequence[str]) -> str:
    (folder / "partial").mkdir(parents=True, exist_ok=True)
    options = {
        "Dir::State::status": "/dev/null",
        "Dir::Cache::archives": f"{folder}/",
        "Dir::Cache::pkgcache": "",
        "Debug::NoLocking": "true",
        "APT::Sandbox::User": "",
        "APT::Architecture": "amd64",
    }
    command = ["apt-get", "-qq", "-y", "--no-install-recommends", mode]
    command += [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    done = subprocess.run([*command, "install", *packages], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PackagesUnavailable(f"{done.stderr.strip()} (package lists come with: apt-get update)")
    return done.stdout
