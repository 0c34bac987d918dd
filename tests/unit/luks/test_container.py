"""Making, looking into and unlocking a container; what a person is told when that fails."""

import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twinlock.errors import (
    ContainerUnsupported,
    KeyDerivationFailed,
    LibraryMissing,
    PassphraseUnusable,
    WrongPassphrase,
)
from twinlock.luks import (
    PROBE_LENGTH,
    SMALLEST_ARRAY,
    Attempt,
    FormattedContainer,
    format_container,
    header_length,
    inspect_container,
    library,
    unlock_container,
)
from twinlock.luks.device import CallFailed, LuksDevice
from twinlock.luks.image import HeaderImage
from twinlock.native import CipherName
from twinlock.units import GIB, MIB, TIB

PASSPHRASE = b"correct horse"
HEADER_COPY = 16384


def formatted(size: int = 64 * MIB, sector_size: int = 512, **more: Any) -> FormattedContainer:
    return format_container(size=size, sector_size=sector_size, passphrase=PASSPHRASE, iter_time_ms=0, **more)


@pytest.fixture(scope="module")
def made() -> FormattedContainer:
    return formatted()


@pytest.mark.parametrize(
    ("size", "offset"),
    [
        (SMALLEST_ARRAY, 2 * MIB),
        (64 * MIB - 4096, 2 * MIB),
        (64 * MIB, 16 * MIB),
        (3 * GIB, 16 * MIB),
        (4 * TIB, 16 * MIB),
    ],
)
@pytest.mark.parametrize("sector_size", [512, 4096])
def test_what_is_made_opens(size: int, offset: int, sector_size: int) -> None:
    new = formatted(size, sector_size)
    assert len(new.header) == new.payload_offset == offset == header_length(new.header[:PROBE_LENGTH])
    opened = unlock_container(new.header, array_size=size, passphrase=PASSPHRASE, attempt=Attempt("v"))
    with opened.key:
        assert opened.key.size == 64
    assert (opened.version, opened.cipher_name) == (2, CipherName.AES_XTS_PLAIN64)
    assert (opened.uuid, opened.sector_size) == (new.uuid, sector_size)
    assert (opened.payload_offset, opened.payload_size) == (offset, size - offset)
    assert opened.target_name is None


def test_facts_need_no_passphrase(made: FormattedContainer) -> None:
    facts = inspect_container(made.header, array_size=64 * MIB)
    assert all(getattr(facts, name) == getattr(made, name) for name in ("uuid", "payload_size", "key_size"))


def test_uuid_and_label_can_be_given() -> None:
    wanted = str(uuid.UUID(int=42))
    new = formatted(uuid=wanted, label="backup")
    assert new.uuid == wanted
    assert b"backup" in new.header[:4096]


def test_containers_differ() -> None:
    first, second = formatted(), formatted()
    assert first.uuid != second.uuid
    assert first.header != second.header


@pytest.mark.parametrize("wrong", [b"correct horsf", b"", b"correct horse\n", b"x" * 1000])
def test_wrong_passphrase_names_the_volume(made: FormattedContainer, wrong: bytes) -> None:
    with pytest.raises(WrongPassphrase, match="'photos'") as caught:
        unlock_container(made.header, array_size=64 * MIB, passphrase=wrong, attempt=Attempt("photos"))
    assert "horse" not in str(caught.value) + repr(caught.value.context)


def test_unlocking_leaves_the_header_alone(made: FormattedContainer) -> None:
    header = bytearray(made.header)
    unlock_container(
        header, array_size=64 * MIB, passphrase=bytearray(PASSPHRASE), attempt=Attempt("v")
    ).key.close()
    assert header == made.header


def test_payload_ends_with_the_array(made: FormattedContainer) -> None:
    """A grown array grows the payload; an odd end is no sector."""
    assert inspect_container(made.header, array_size=GIB + 100).payload_size == GIB - 16 * MIB


# -- damage ---------------------------------------------------------------------------------------


def damaged(header: bytes, *offsets: int) -> bytes:
    changed = bytearray(header)
    for offset in offsets:
        changed[offset : offset + 4096] = bytes(4096)
    return bytes(changed)


@pytest.mark.parametrize("copy", [0, HEADER_COPY])
def test_one_damaged_copy_does_no_harm(made: FormattedContainer, copy: int) -> None:
    header = damaged(made.header, copy)
    assert header_length(header[:PROBE_LENGTH]) == 16 * MIB
    opened = unlock_container(header, array_size=64 * MIB, passphrase=PASSPHRASE, attempt=Attempt("v"))
    opened.key.close()
    assert opened.uuid == made.uuid


def probe(header: bytes) -> object:
    return header_length(header[:PROBE_LENGTH])


def inspect(header: bytes) -> object:
    return inspect_container(header, array_size=64 * MIB)


def unlock(header: bytes) -> object:
    return unlock_container(header, array_size=64 * MIB, passphrase=PASSPHRASE, attempt=Attempt("v"))


@pytest.mark.parametrize("look", [probe, inspect, unlock])
def test_both_copies_damaged_or_no_header(made: FormattedContainer, look: Callable[[bytes], object]) -> None:
    for header in (damaged(made.header, 0, HEADER_COPY), bytes(16 * MIB), b"", b"LUKS\xba\xbe\x00\x02"):
        with pytest.raises(ContainerUnsupported, match="no LUKS header"):
            look(header)


def test_damaged_key_material_opens_with_no_passphrase(made: FormattedContainer) -> None:
    header = damaged(made.header, 2 * HEADER_COPY)
    with pytest.raises(WrongPassphrase):
        unlock(header)


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("passphrase", "reason"), [(b"", "empty"), (bytes(8 * MIB + 1), "more than 8 MiB")])
def test_unusable_passphrase(passphrase: bytes, reason: str) -> None:
    with pytest.raises(PassphraseUnusable, match=reason):
        format_container(size=64 * MIB, sector_size=512, passphrase=passphrase, iter_time_ms=0)


@pytest.mark.parametrize(
    ("size", "sector_size"),
    [(SMALLEST_ARRAY - 512, 512), (64 * MIB, 520), (64 * MIB, 8192), (64 * MIB + 512, 4096)],
)
def test_impossible_sizes(size: int, sector_size: int) -> None:
    with pytest.raises(ValueError, match="no container"):
        formatted(size, sector_size)


def test_refusal_by_the_library_is_told_in_its_words() -> None:
    with pytest.raises(ContainerUnsupported, match="UUID"):
        formatted(uuid="not a uuid")


@pytest.mark.parametrize(
    ("number", "error"),
    [(1, WrongPassphrase), (2, ContainerUnsupported), (12, KeyDerivationFailed), (22, ContainerUnsupported)],
)
def test_errors_of_unlocking(
    made: FormattedContainer, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    def refuse(_: LuksDevice, __: bytes, ___: int) -> None:
        raise CallFailed(number, "")

    monkeypatch.setattr(LuksDevice, "volume_key", refuse)
    with pytest.raises(error):
        unlock(made.header)


STARVED = """
import resource, sys
from twinlock.errors import KeyDerivationFailed
from twinlock.luks import Attempt, unlock_container
header = open(sys.argv[1], "rb").read()
resource.setrlimit(resource.RLIMIT_AS, (250 << 20,) * 2)
try:
    unlock_container(header, array_size=len(header), passphrase=b"hello", attempt=Attempt("v"))
except KeyDerivationFailed as error:
    print(error)
"""


def test_too_little_memory_for_argon2(tmp_path: Path) -> None:
    image = tmp_path / "container"
    image.write_bytes(bytes(18 * MIB))
    command = [
        "cryptsetup",
        "luksFormat",
        "--type",
        "luks2",
        "--key-file",
        "-",
        "--pbkdf-force-iterations",
        "4",
    ]
    subprocess.run(
        [*command, "--pbkdf-memory", "300000", "--batch-mode", str(image)], input=b"hello", check=True
    )
    ended = subprocess.run(
        [sys.executable, "-c", STARVED, str(image)], capture_output=True, text=True, check=True
    )
    assert "free memory" in ended.stdout


def test_library_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LibraryMissing, match="apt-get install libcryptsetup12"):
        library.load("libcryptsetup.so.1234")

    def absent() -> None:
        raise LibraryMissing(library="libcryptsetup", package="libcryptsetup12")

    monkeypatch.setattr(library, "load", absent)
    with pytest.raises(LibraryMissing):
        formatted()


# -- silence --------------------------------------------------------------------------------------


def test_nothing_is_printed(made: FormattedContainer, capfd: pytest.CaptureFixture[str]) -> None:
    formatted(SMALLEST_ARRAY)  # the library warns of the small keyslots area
    with pytest.raises(ContainerUnsupported):
        unlock(bytes(4096))
    with pytest.raises(ContainerUnsupported):
        formatted(uuid="not a uuid")
    assert capfd.readouterr() == ("", "")


def test_no_secret_in_repr(made: FormattedContainer) -> None:
    opened = unlock_container(made.header, array_size=64 * MIB, passphrase=PASSPHRASE, attempt=Attempt("v"))
    with opened.key:
        assert "key=<KeyBuffer of 64 bytes, open>" in repr(opened)
        assert "horse" not in repr(opened)


def test_new_header_is_not_shown_whole(made: FormattedContainer) -> None:
    assert len(repr(made)) < 1000


def test_measured_cost_is_argon2id() -> None:
    new = format_container(size=SMALLEST_ARRAY, sector_size=512, passphrase=PASSPHRASE, iter_time_ms=1)
    with HeaderImage(SMALLEST_ARRAY, new.header) as image, LuksDevice.open(image) as device:
        device.load()
        kdf = json.loads(device.metadata())["keyslots"]["0"]["kdf"]
    assert kdf["type"] == "argon2id"
    assert kdf["memory"] >= 32768
