"""Stock mdadm and cryptsetup read what twinlock wrote, without a kernel that knows md or dm."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import PASSPHRASE, MakeVolume
from tests.support.client import Client
from tests.support.daemon import TARGET_PREFIX, Daemon
from tests.support.initiator import Credentials


def output(*command: str | Path) -> str:
    done = subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True)
    return done.stdout


def examine(member: Path) -> dict[str, str]:
    lines = output("mdadm", "--examine", member).splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(" : ") for line in lines)}


def data_area(member: Path, target: Path) -> Path:
    """The array's data, cut out of a member."""
    facts = examine(member)
    offset = int(facts["Data Offset"].split()[0]) * 512
    with member.open("rb") as source, target.open("wb") as file:
        source.seek(offset)
        shutil.copyfileobj(source, file)
    os.truncate(target, int(facts["Array Size"].split()[0]) * 1024)
    return target


def examine_bitmap(member: Path, target: Path) -> str:
    """What mdadm says of the bitmap; in a regular file it expects nothing but the bitmap."""
    with member.open("rb") as source:
        source.seek(8 << 10)
        target.write_bytes(source.read(36 << 10))
    return output("mdadm", "--examine-bitmap", target)


def test_mdadm_calls_both_members_clean(
    daemon: Daemon, make_volume: MakeVolume, members: list[Path], tmp_path: Path
) -> None:
    make_volume()
    daemon.stop()
    facts = [examine(member) for member in members]
    for fact in facts:
        assert fact["State"] == "clean"
        assert fact["Raid Level"] == "raid1"
        assert fact["Version"] == "1.2"
        assert fact["Checksum"].endswith("correct")
        assert fact["Internal Bitmap"] == "8 sectors from superblock"
    assert facts[0]["Array UUID"] == facts[1]["Array UUID"]
    assert facts[0]["Events"] == facts[1]["Events"]
    assert [fact["Device Role"] for fact in facts] == ["Active device 0", "Active device 1"]
    for member in members:
        assert re.search(r"\b0 dirty \(0\.0%\)", examine_bitmap(member, tmp_path / "bitmap"))


@pytest.mark.parametrize("block_size", [512, 4096])
def test_stock_cryptsetup_decrypts_what_the_initiator_wrote(
    daemon: Daemon, make_volume: MakeVolume, members: list[Path], tmp_path: Path, block_size: int
) -> None:
    make_volume("--block-size", str(block_size), size="64M")
    credentials = Credentials("backup", daemon.secret("backup").encode())
    written = {place: os.urandom(64 << 10) for place in (0, 1 << 20, 30 << 20)}
    with Client(daemon.port, TARGET_PREFIX + "backup", credentials) as client:
        assert client.capacity()[1] == block_size
        for place, data in written.items():
            client.write(place // block_size, data, block_size)
    daemon.stop()

    key = tmp_path / "key"
    key.write_bytes(PASSPHRASE)
    for number, member in enumerate(members):
        container = data_area(member, tmp_path / f"container{number}")
        dump = output("cryptsetup", "luksDump", container)
        assert f"sector: {block_size} [bytes]" in dump
        assert "argon2id" in dump
        header = tmp_path / f"header{number}"  # cryptsetup moves it there
        output(
            *("cryptsetup", "reencrypt", "--decrypt", "--force-offline-reencrypt", "-q"),
            *("--header", header, "--key-file", key, container),
        )
        plain = container.read_bytes()
        for place, data in written.items():
            assert plain[place : place + len(data)] == data
