"""CHAP secrets: strong, private, never shown."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from twinlock.daemon.credentials import DISCOVERY, Credentials
from twinlock.daemon.names import check_name
from twinlock.errors import ChapSecretUnusable, ConfigurationInvalid, NameInvalid
from twinlock.server.messages import Chap


def test_a_new_secret_is_16_letters_and_digits_in_a_private_file(tmp_path: Path) -> None:
    chap = Credentials(tmp_path).make("backup")
    secret = chap.secret.get_secret_value()
    assert len(secret) == 16
    assert secret.isalnum()
    assert secret.isascii()
    assert (tmp_path / "backup.toml").stat().st_mode & 0o777 == 0o600
    assert Credentials(tmp_path).load("backup") == chap
    assert Credentials(tmp_path).make("other").secret != chap.secret


def test_no_secret_is_shown(tmp_path: Path) -> None:
    chap = Credentials(tmp_path).make("backup")
    assert chap.secret.get_secret_value() not in f"{chap!r} {chap}"


@pytest.mark.parametrize(
    "chap",
    [
        Chap(user="u", secret=SecretStr("short")),
        Chap(user="u", secret=SecretStr("x" * 17)),
        Chap(user="", secret=SecretStr("x" * 16)),
        Chap(user="u", secret=SecretStr("x" * 16), mutual_user="v", mutual_secret=SecretStr("x" * 16)),
        Chap(user="u", secret=SecretStr("x" * 16), mutual_secret=SecretStr("y" * 16)),
        Chap(user="u", secret=SecretStr("x" * 16), mutual_user="v"),
    ],
)
def test_what_initiators_would_refuse_is_refused(tmp_path: Path, chap: Chap) -> None:
    with pytest.raises(ChapSecretUnusable) as caught:
        Credentials(tmp_path).store("backup", chap)
    assert chap.secret.get_secret_value() not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", ["user = 'u'\n", "secret = 'hunter2hunter2h'", "user = 'u'\nsecret = 'hunter2'\n", "="]
)
def test_a_damaged_file_is_refused_without_quoting_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "backup.toml").write_text(text)
    with pytest.raises(ConfigurationInvalid) as caught:
        Credentials(tmp_path).load("backup")
    assert "hunter2" not in f"{caught.value!r}{caught.value.__cause__!r}"


def test_the_second_pair_comes_and_goes_and_the_first_stays(tmp_path: Path) -> None:
    kept = Credentials(tmp_path)
    first = kept.make("backup")
    mutual = kept.change("backup", mutual=True)
    assert (mutual.user, mutual.secret) == (first.user, first.secret)
    assert mutual.mutual_user == kept.mutual_user("backup") == "twinlock"
    assert mutual.mutual_secret != mutual.secret
    assert kept.change("backup", mutual=True) == mutual, "what is there stays"
    assert kept.change("backup", mutual=False) == first
    assert kept.mutual_user("backup") is None


def test_new_secrets_keep_the_user(tmp_path: Path) -> None:
    kept = Credentials(tmp_path)
    kept.store("backup", Chap(user="laptop", secret=SecretStr("x" * 16)))
    made = kept.make("backup", mutual=True)
    assert made.user == "laptop"
    assert made.secret.get_secret_value() != "x" * 16
    assert made.mutual_secret is not None


def test_discovery_has_a_file_that_no_volume_can_have(tmp_path: Path) -> None:
    with pytest.raises(NameInvalid):
        check_name(DISCOVERY)
    assert Credentials(tmp_path).make(DISCOVERY).user == "discovery"
    assert Credentials(tmp_path).make("discovery") != Credentials(tmp_path).load(DISCOVERY)
