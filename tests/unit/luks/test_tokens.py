"""The target's name in the container: stored, changed, removed, and never confused with others' tokens."""

import subprocess
from pathlib import Path

import pytest

from twinlock.errors import ContainerUnsupported
from twinlock.luks import Attempt, format_container, inspect_container, unlock_container, with_target_name
from twinlock.luks.tokens import target_name_in
from twinlock.units import MIB

ARRAY = 32 * MIB
NAME = "iqn.2009-06.org.example:photos"


def made(target_name: str | None) -> bytes:
    new = format_container(
        size=ARRAY, sector_size=512, passphrase=b"hello", iter_time_ms=0, target_name=target_name
    )
    assert new.target_name == target_name
    return new.header


def name_in(header: bytes) -> str | None:
    return inspect_container(header, array_size=ARRAY).target_name


def test_stored_when_made() -> None:
    assert name_in(made(NAME)) == NAME
    assert name_in(made(None)) is None


def test_set_changed_and_removed() -> None:
    header = made(None)
    for name in (NAME, "iqn.2026-11.io.twinlock:ümläut", None, None, NAME):
        changed = with_target_name(header, array_size=ARRAY, name=name)
        assert len(changed) == len(header)
        assert name_in(changed) == name
        header = changed
    opened = unlock_container(header, array_size=ARRAY, passphrase=b"hello", attempt=Attempt("v"))
    opened.key.close()
    assert opened.target_name == NAME


def test_removing_nothing_changes_nothing() -> None:
    header = made(None)
    assert with_target_name(header, array_size=ARRAY, name=None) == header


@pytest.mark.parametrize(
    "tokens",
    [
        {},
        {"0": {"type": "luks2-keyring", "keyslots": ["0"], "target": NAME}},
        {"3": {"type": "twinlock", "keyslots": []}},
        {"3": {"type": "twinlock", "keyslots": [], "target": 7}},
    ],
)
def test_no_name_in_other_tokens(tokens: dict[str, object]) -> None:
    assert target_name_in({"tokens": tokens}) is None


def test_own_token_is_found_among_others() -> None:
    mine, other = (
        {"type": "twinlock", "keyslots": [], "target": NAME},
        {"type": "clevis", "keyslots": ["1"]},
    )
    assert target_name_in({"tokens": {"10": mine, "2": other}}) == NAME


def test_stock_cryptsetup_shows_the_token(tmp_path: Path) -> None:
    image = tmp_path / "container"
    image.write_bytes(made(NAME) + bytes(MIB))
    command = ["cryptsetup", "token", "export", "--token-id", "0", str(image)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert '"type":"twinlock"' in shown
    assert NAME in shown


def test_luks1_has_no_tokens(tmp_path: Path) -> None:
    image = tmp_path / "container"
    image.write_bytes(bytes(4 * MIB))
    command = [
        "cryptsetup",
        "luksFormat",
        "--type",
        "luks1",
        "--pbkdf-force-iterations",
        "1000",
        "--batch-mode",
    ]
    subprocess.run([*command, "--key-file", "-", str(image)], input=b"hello", check=True)
    header = image.read_bytes()
    with pytest.raises(ContainerUnsupported, match="LUKS1"):
        with_target_name(header, array_size=len(header), name=NAME)


def test_no_container() -> None:
    with pytest.raises(ContainerUnsupported):
        with_target_name(bytes(MIB), array_size=ARRAY, name=NAME)
