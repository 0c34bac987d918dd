"""Keyslots are tried as libcryptsetup does it, but for those that there is no memory for, which are named."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.containers import (
    CHEAP,
    FIRST,
    PASSPHRASE,
    SECOND,
    SIZE,
    THIRD,
    cryptsetup,
    header_of,
    stock_container,
    with_key,
)
from twinlock.errors import ContainerUnsupported, LastKey, MemoryShort, WrongPassphrase
from twinlock.luks.container import unlock_container
from twinlock.luks.copies import slot_blocks
from twinlock.luks.keyslots import add_key, change_key, list_keyslots, opening_slot, remove_key
from twinlock.luks.opening import SPARE, Attempt, fits
from twinlock.units import MIB

COST = ["--pbkdf-force-iterations", "4", "--pbkdf-memory", "300000", "--pbkdf-parallel", "1"]


@pytest.fixture(scope="module")
def costly(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """FIRST opens keyslot 0, which takes next to nothing; SECOND keyslot 1, which takes 300,000 KiB."""
    folder = tmp_path_factory.mktemp("costly")
    path, new = folder / "container", folder / "new"
    stock_container(path, "luks2")
    new.write_bytes(SECOND)
    done = cryptsetup("luksAddKey", "-q", *COST, "--key-file", "-", path, new, secret=FIRST)
    assert done.returncode == 0, done.stderr
    return header_of(path)


def tried(header: bytes, secret: bytes, number: int | None = None, available: int | None = None) -> int:
    return opening_slot(header, array_size=SIZE, secret=secret, attempt=Attempt("v", number, available))


def needed(header: bytes) -> int:
    return list_keyslots(header, array_size=SIZE).find(1).cost.memory


# -- memory ---------------------------------------------------------------------------------------


def test_what_fits() -> None:
    assert fits(MIB, None)
    assert fits(0, 0), "PBKDF2 takes none"
    assert fits(MIB, MIB + SPARE)
    assert not fits(MIB, MIB + SPARE - 1)


def test_a_keyslot_without_memory_is_named_and_the_others_open(costly: bytes) -> None:
    short = needed(costly) + SPARE - 1
    assert tried(costly, FIRST, available=short) == 0
    with pytest.raises(
        MemoryShort, match=r"key 1 of volume 'v' takes .* MiB of memory, but only .* are free"
    ):
        tried(costly, SECOND, available=short)
    assert tried(costly, SECOND, available=short + 1) == 1
    with pytest.raises(WrongPassphrase):
        tried(costly, THIRD, available=short + 1)
    with pytest.raises(MemoryShort):
        unlock_container(costly, array_size=SIZE, passphrase=SECOND, attempt=Attempt("v", None, short))


@pytest.mark.parametrize("work", [add_key, change_key])
def test_a_key_is_not_added_by_one_that_there_is_no_memory_for(costly: bytes, work: type) -> None:
    attempt = Attempt("v", available=needed(costly))
    rest = {"array_size": SIZE, "new_secret": THIRD, "note": PASSPHRASE, "cost": CHEAP, "attempt": attempt}
    with pytest.raises(MemoryShort):
        work(costly, secret=SECOND, **rest)
    changed = work(costly, secret=FIRST, **rest)
    assert tried(changed.header, THIRD) == changed.number


SHORT = """
import resource, sys
from twinlock.errors import MemoryShort
from twinlock.luks import Attempt, unlock_container
from twinlock.server.memory import available_memory
header = open(sys.argv[1], "rb").read()
resource.setrlimit(resource.RLIMIT_AS, (270 << 20,) * 2)
try:
    attempt = Attempt("v", available=available_memory(swap=True))
    unlock_container(header, array_size=8 << 20, passphrase=b"second", attempt=attempt)
except MemoryShort as error:
    print(error.exit_code, error)
"""


def test_a_process_with_too_little_memory_says_so_and_lives(costly: bytes, tmp_path: Path) -> None:
    path = tmp_path / "header"
    path.write_bytes(remove_key(costly, array_size=SIZE, number=0).header)
    ended = subprocess.run([sys.executable, "-c", SHORT, path], capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("53 trying key 1 of volume 'v' takes"), ended


# -- priorities -----------------------------------------------------------------------------------


def prioritised(folder: Path, **priorities: int | str) -> bytes:
    """FIRST in keyslot 0 and SECOND in keyslot 1, with priorities by stock cryptsetup."""
    path = folder / "container"
    stock_container(path, "luks2")
    path.write_bytes(with_key(header_of(path), SECOND).ljust(SIZE, b"\0"))
    for slot, priority in priorities.items():
        done = cryptsetup(
            "config", "--priority", str(priority), "--key-slot", slot.removeprefix("slot"), path
        )
        assert done.returncode == 0, done.stderr
    return header_of(path)


def test_a_keyslot_to_be_ignored_opens_only_when_named(tmp_path: Path) -> None:
    header = prioritised(tmp_path, slot1="ignore")
    with pytest.raises(WrongPassphrase):
        tried(header, SECOND)
    with pytest.raises(WrongPassphrase):
        unlock_container(header, array_size=SIZE, passphrase=SECOND, attempt=Attempt("v"))
    assert tried(header, SECOND, 1) == 1
    assert [slot.ignored for slot in list_keyslots(header, array_size=SIZE).used] == [False, True]


def test_a_keyslot_to_be_ignored_is_none_that_is_left(tmp_path: Path) -> None:
    header = prioritised(tmp_path, slot1="ignore")
    with pytest.raises(LastKey, match="no unlock tries them"):
        remove_key(header, array_size=SIZE, number=0)
    without = remove_key(header, array_size=SIZE, number=1).header
    assert tried(without, FIRST) == 0
    with pytest.raises(LastKey, match="lost for ever"):
        remove_key(without, array_size=SIZE, number=0)


def test_where_all_are_to_be_ignored_it_is_said_how_to_undo_that(tmp_path: Path) -> None:
    header = prioritised(tmp_path, slot0="ignore", slot1="ignore")
    with pytest.raises(ContainerUnsupported, match="cryptsetup config --priority normal"):
        tried(header, FIRST)


def test_the_preferred_keyslot_is_tried_first(tmp_path: Path) -> None:
    header = prioritised(tmp_path, slot1="prefer")
    twice = bytearray(header)
    for block in slot_blocks(header)[0]:  # a keyslot that cannot be opened any more is not needed for it
        twice[block * 4096 : block * 4096 + 4096] = bytes(4096)
    assert tried(bytes(twice), SECOND) == 1
