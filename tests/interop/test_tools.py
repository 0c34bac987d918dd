"""Real clients: libiscsi's tools and QEMU's iSCSI driver."""

import filecmp
import os
import subprocess
import tomllib
from pathlib import Path

import pytest
import tomlkit

from tests.conftest import MakeVolume
from tests.support.daemon import TARGET_PREFIX, Daemon


def run(*command: str | Path, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(
        words,
        env=environ,
        check=False,
        capture_output=True,
        text=True,
        errors="backslashreplace",  # identifiers are shown as they are
        timeout=60,
    )


def succeed(*command: str | Path, environ: dict[str, str]) -> str:
    done = run(*command, environ=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("block_size", [512, 4096])
def test_the_tools_agree_on_what_the_disk_is(
    daemon: Daemon, make_volume: MakeVolume, block_size: int
) -> None:
    url = make_volume("--block-size", str(block_size))
    environ = daemon.chap_environ("backup")
    opened = daemon.status("backup")["open"]

    listing = succeed("iscsi-ls", "-s", url.rsplit("/", 2)[0], environ=environ)
    assert f"Target:{TARGET_PREFIX}backup" in listing
    assert f"127.0.0.1:{daemon.port}" in listing
    assert "Lun:0" in listing

    inquiry = succeed("iscsi-inq", url, environ=environ)
    assert "TWINLOCK" in inquiry
    pages = succeed("iscsi-inq", "-e", "1", "-c", "0", url, environ=environ)
    for page in ("0x00", "0x80", "0x83", "0xb0", "0xb1", "0xb2"):
        assert page in pages

    capacity = succeed("iscsi-readcapacity16", url, environ=environ)
    assert f"Total size:{opened['size']}\n" in capacity
    assert f"LOGICAL BLOCK LENGTH IN BYTES:{block_size}\n" in capacity


@pytest.mark.parametrize("options", [(), ("--block-size", "4096"), ("--no-encryption",), ("--chap", "none")])
def test_qemu_writes_and_reads_a_disk(
    daemon: Daemon, make_volume: MakeVolume, tmp_path: Path, options: tuple[str, ...]
) -> None:
    url = make_volume(*options)
    environ = os.environ | ({} if "none" in options else daemon.chap_environ("backup"))
    size = daemon.status("backup")["open"]["size"]
    source, back = tmp_path / "source.img", tmp_path / "back.img"
    with source.open("wb") as file:
        file.write(os.urandom(20 << 20))
        file.truncate(size)

    succeed("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, url, environ=environ)
    daemon.cli("lock", "backup")
    daemon.cli("unlock", "backup", *_key(options, tmp_path))
    succeed("qemu-img", "convert", "-f", "raw", "-O", "raw", url, back, environ=environ)
    assert filecmp.cmp(back, source, shallow=False)


def _key(options: tuple[str, ...], tmp_path: Path) -> list[str]:
    return [] if "--no-encryption" in options else ["--passphrase-file", str(tmp_path / "passphrase")]


def test_a_wrong_chap_secret_and_none_are_turned_away(daemon: Daemon, make_volume: MakeVolume) -> None:
    url = make_volume()
    right = daemon.chap_environ("backup")
    succeed("iscsi-inq", url, environ=right)
    for environ in (dict(os.environ), right | {"LIBISCSI_CHAP_PASSWORD": "x" * 16}):
        done = run("iscsi-inq", url, environ=environ)
        assert done.returncode
        assert "TWINLOCK" not in done.stdout


def test_mutual_chap(daemon: Daemon, make_volume: MakeVolume, passphrase_file: Path) -> None:
    url = make_volume()
    path = daemon.root / "lib/secrets/backup.toml"
    chap = tomllib.loads(path.read_text()) | {"mutual_user": "box", "mutual_secret": "boxboxboxbox1234"}
    path.write_text(tomlkit.dumps(chap))
    daemon.cli("lock", "backup")
    daemon.cli("unlock", "backup", "--passphrase-file", str(passphrase_file))
    environ = daemon.chap_environ("backup") | {"LIBISCSI_CHAP_TARGET_USERNAME": "box"}
    succeed("iscsi-inq", url, environ=environ | {"LIBISCSI_CHAP_TARGET_PASSWORD": "boxboxboxbox1234"})
    assert run("iscsi-inq", url, environ=environ | {"LIBISCSI_CHAP_TARGET_PASSWORD": "wrong" * 3}).returncode


def test_identity_survives_lock_and_unlock(
    daemon: Daemon, make_volume: MakeVolume, passphrase_file: Path
) -> None:
    url = make_volume()
    environ = daemon.chap_environ("backup")
    identity = ("iscsi-inq", "-e", "1", "-c", "131", url)  # 83h, in the tool's decimal
    before = succeed(*identity, environ=environ)
    assert "NAA" in before
    daemon.cli("lock", "backup")
    daemon.cli("unlock", "backup", "--passphrase-file", str(passphrase_file))
    assert succeed(*identity, environ=environ) == before
