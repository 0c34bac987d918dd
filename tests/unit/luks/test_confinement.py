"""libcryptsetup touches the header image and no other file, device or socket; also in a hardened process."""

import os
import re
import subprocess
import sys
from pathlib import Path

from twinlock.luks import Attempt, format_container, unlock_container

WORK = """
import os, resource
from twinlock.luks import Attempt, format_container, unlock_container, with_target_name
from twinlock.native import harden
harden()
os.access("/the-work-begins", os.F_OK)
new = format_container(size=64 << 20, sector_size=512, passphrase=b"hello", iter_time_ms=0)
header = with_target_name(new.header, array_size=64 << 20, name="iqn.y")
opened = unlock_container(header, array_size=64 << 20, passphrase=b"hello", attempt=Attempt("v"))
print(opened.target_name)
"""
IMAGE = re.compile(r"/proc/self/fd/\d+")
CALL = re.compile(r'^\d+ +(\w+)\((?:AT_FDCWD, )?"?([^",)]*)"?(.*)$')


def traced(tmp_path: Path) -> list[tuple[str, str, str]]:
    """Every system call on a path or for a socket after the imports: name, path, the rest."""
    log = tmp_path / "strace"
    command = ["strace", "-f", "-e", "trace=%file,socket,mount", "-o", str(log), sys.executable, "-c", WORK]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == "iqn.y\n"
    lines = log.read_text().splitlines()
    begin = next(number for number, line in enumerate(lines) if "/the-work-begins" in line)
    return [match.groups() for line in lines[begin + 1 :] if (match := CALL.match(line))]  # type: ignore[misc]


def test_only_the_image_is_opened_for_writing(tmp_path: Path) -> None:
    calls = traced(tmp_path)
    assert any(IMAGE.fullmatch(path) and "O_RDWR" in rest for _, path, rest in calls)
    for name, path, rest in calls:
        if IMAGE.fullmatch(path):
            continue
        assert name in {"openat", "newfstatat", "stat", "access", "readlink", "lstat", "statfs"}, (name, path)
        assert not re.search("O_WRONLY|O_RDWR|O_CREAT", rest), (name, path, rest)
        assert not path.startswith(("/run", "/var", "/dev/mapper", "/dev/sd", "/dev/loop", "/dev/md")), path


DEMOTED = """
import os
from twinlock.luks import Attempt, format_container, unlock_container
from twinlock.native import harden
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
harden()
new = format_container(size=64 << 20, sector_size=512, passphrase=b"hello", iter_time_ms=0)
unlock_container(new.header, array_size=64 << 20, passphrase=b"hello", attempt=Attempt("v"))
print("done")
"""


def test_needs_no_root_even_when_hardened() -> None:
    ended = subprocess.run([sys.executable, "-c", DEMOTED], capture_output=True, text=True, check=True)
    assert ended.stdout == "done\n"


def use() -> None:
    new = format_container(size=64 << 20, sector_size=512, passphrase=b"hello", iter_time_ms=0)
    unlock_container(new.header, array_size=64 << 20, passphrase=b"hello", attempt=Attempt("v")).key.close()


def test_no_descriptor_is_left_open() -> None:
    use()  # the library keeps its random devices open from the first use on
    before = os.listdir("/proc/self/fd")
    use()
    assert os.listdir("/proc/self/fd") == before
