"""Which containers are served: every refusal by its name, over the table of what a header may say."""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from twinlock.errors import ContainerUnsupported
from twinlock.luks import PROBE_LENGTH, header_length, inspect_container
from twinlock.luks.facts import Description, Segment, judge
from twinlock.native import CipherName
from twinlock.units import MIB

ARRAY = 64 * MIB
SEGMENT = Segment("crypt", "aes-xts-plain64", 512, 16 * MIB, None, 0, None)
SERVED = Description(2, "an-uuid", 64, (SEGMENT,), (), None)


def with_segment(**changes: Any) -> Description:
    return replace(SERVED, segments=(replace(SEGMENT, **changes),))


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (replace(SERVED, requirements=("online-reencrypt-v2",)), "online-reencrypt-v2"),
        (replace(SERVED, requirements=("offline-reencrypt", "new")), "offline-reencrypt, new"),
        (replace(SERVED, key_size=0), "keyslots"),
        (replace(SERVED, segments=()), "0 segments"),
        (replace(SERVED, segments=(SEGMENT, SEGMENT)), "2 segments"),
        (with_segment(integrity="hmac(sha256)"), r"dm-integrity \(hmac\(sha256\)\)"),
        (with_segment(cipher="serpent-xts-plain64"), "serpent-xts-plain64"),
        (with_segment(cipher="aes-xts-plain"), "aes-xts-plain with a key of 512 bits"),
        (with_segment(cipher="aes-cbc-essiv:sha256"), "aes-cbc-essiv:sha256 with a key of 512 bits"),
        (replace(SERVED, key_size=48), "384 bits"),
        (with_segment(kind="linear", cipher="no encryption"), "no encryption"),
        (with_segment(sector_size=8192), "8192"),
        (with_segment(iv_tweak=8), "begin at 8"),
        (with_segment(offset=0), "detached"),
        (with_segment(offset=ARRAY), "beyond the array"),
        (with_segment(size=48 * MIB + 512), "beyond the array"),
    ],
)
def test_refused_by_name(found: Description, reason: str) -> None:
    with pytest.raises(ContainerUnsupported, match=reason):
        judge(found, ARRAY)


@pytest.mark.parametrize(
    ("found", "cipher", "payload_size"),
    [
        (SERVED, CipherName.AES_XTS_PLAIN64, 48 * MIB),
        (replace(SERVED, key_size=32), CipherName.AES_XTS_PLAIN64, 48 * MIB),
        (with_segment(size=8 * MIB), CipherName.AES_XTS_PLAIN64, 8 * MIB),
        (with_segment(offset=16 * MIB + 512, sector_size=4096), CipherName.AES_XTS_PLAIN64, 48 * MIB - 4096),
        (
            replace(with_segment(cipher="aes-cbc-essiv:sha256"), key_size=16, version=1),
            CipherName.AES_CBC_ESSIV_SHA256,
            48 * MIB,
        ),
    ],
)
def test_served(found: Description, cipher: CipherName, payload_size: int) -> None:
    facts = judge(found, ARRAY)
    assert (facts.cipher_name, facts.payload_size) == (cipher, payload_size)


# -- the same on headers that stock cryptsetup wrote ----------------------------------------------

CHEAP = ["--pbkdf-force-iterations", "4", "--pbkdf-memory", "32", "--batch-mode", "--key-file", "-"]


def stock(*arguments: str) -> None:
    subprocess.run(["cryptsetup", *arguments], input=b"hello", check=True, capture_output=True)


def look(image: Path) -> object:
    data = image.read_bytes()
    return inspect_container(data[: header_length(data[:PROBE_LENGTH])], array_size=ARRAY)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "container"
    with path.open("wb") as file:
        file.truncate(ARRAY)
    return path


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--cipher", "aes-xts-plain"), "aes-xts-plain with"),
        (("--cipher", "aes-cbc-plain64", "--key-size", "256"), "aes-cbc-plain64"),
    ],
)
def test_stock_ciphers(image: Path, options: tuple[str, ...], reason: str) -> None:
    stock("luksFormat", "--type", "luks2", *CHEAP, *options, str(image))
    with pytest.raises(ContainerUnsupported, match=reason):
        look(image)


def test_stock_reencryption_under_way(image: Path) -> None:
    size = ("--reduce-device-size", "32M")
    options = ("--encrypt", "--init-only", "--force-offline-reencrypt", "--type", "luks2", *size)
    stock("reencrypt", *options, *CHEAP, str(image))
    with pytest.raises(ContainerUnsupported, match="online-reencrypt"):
        look(image)


def test_stock_detached_header(image: Path, tmp_path: Path) -> None:
    header = tmp_path / "header"
    stock("luksFormat", "--type", "luks2", *CHEAP, "--header", str(header), str(image))
    with pytest.raises(ContainerUnsupported, match="detached"):
        look(header)


def test_stock_container_without_keyslots(image: Path) -> None:
    stock("luksFormat", "--type", "luks2", *CHEAP, str(image))
    stock("luksKillSlot", "--batch-mode", str(image), "0")
    with pytest.raises(ContainerUnsupported, match="keyslots"):
        look(image)
