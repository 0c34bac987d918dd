"""The key buffer: locked, out of dumps, gone when closed, and silent."""

import copy
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

from twinlock.errors import KeyMemoryUnavailable
from twinlock.native import KeyBuffer
from twinlock.native._native import ffi

SECRET = b"sixteen secrets!"


def locked_kib() -> int:
    match = re.search(r"VmLck:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1])


def vm_flags(address: int) -> set[str]:
    """The flags of the mapping at ``address``, as proc(5) lists them in smaps."""
    here = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if match := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            here = int(match[1], 16) <= address < int(match[2], 16)
        elif here and line.startswith("VmFlags:"):
            return set(line.split()[1:])
    raise AssertionError("no mapping there")


def contents(address: int, length: int) -> bytes:
    return bytes(ffi.buffer(ffi.cast("char *", address), length))


def test_pages_are_locked_undumped_and_not_inherited() -> None:
    before = locked_kib()
    with KeyBuffer(64) as key:
        assert locked_kib() >= before + 4
        assert {"lo", "dd", "wf"} <= vm_flags(key.address)
    assert locked_kib() == before


def test_begins_as_zeros_and_holds_what_is_loaded() -> None:
    with KeyBuffer(16) as key:
        assert contents(key.address, 16) == bytes(16)
        key.load(SECRET)
        assert contents(key.address, 16) == SECRET


def test_a_forked_child_finds_nothing() -> None:
    with KeyBuffer(16) as key:
        key.load(SECRET)
        child = os.fork()
        if child == 0:
            os._exit(0 if contents(key.address, 16) == bytes(16) else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_closed_key_has_no_address() -> None:
    key = KeyBuffer(16)
    key.close()
    key.close()
    with pytest.raises(ValueError, match="closed"):
        _ = key.address


@pytest.mark.parametrize("data", [b"", b"short", bytes(17)])
def test_load_wants_the_whole_key(data: bytes) -> None:
    with KeyBuffer(16) as key, pytest.raises(ValueError, match="16 bytes"):
        key.load(data)


@pytest.mark.parametrize("size", [0, -1])
def test_a_key_has_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        KeyBuffer(size)


def test_no_way_shows_the_bytes() -> None:
    with KeyBuffer(16) as key:
        key.load(SECRET)
        assert "secret" not in repr(key) + str(key)
        with pytest.raises(TypeError):
            bytes(key)  # type: ignore[call-overload]
        for taking in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                taking(key)


NO_LOCKS = """
import os, resource
from twinlock.errors import KeyMemoryUnavailable
from twinlock.native import KeyBuffer
resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
if os.geteuid() == 0:  # root may lock without limit
    os.setgid(65534)
    os.setuid(65534)
try:
    KeyBuffer(64)
except KeyMemoryUnavailable as error:
    print(error, error.exit_code)
"""


def test_refused_lock_is_said() -> None:
    ended = subprocess.run([sys.executable, "-c", NO_LOCKS], capture_output=True, text=True, check=True)
    assert "ulimit -l" in ended.stdout
    assert ended.stdout.rstrip().endswith(str(KeyMemoryUnavailable.exit_code))
