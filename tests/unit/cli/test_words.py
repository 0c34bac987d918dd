"""Settings and credentials, said to a person."""

from typing import Any

import pytest
from pydantic import SecretStr

from twinlock.cli.options import chap_mode, yes_or_no
from twinlock.cli.words import credentials, indented, restrictions, settings
from twinlock.daemon.models import ChapMode, VolumeSettings
from twinlock.errors import BadOption
from twinlock.server.messages import Chap

USUAL: dict[str, Any] = {
    "chap": ChapMode.AUTO,
    "shared": False,
    "read_only": False,
    "discard": True,
    "initiators": [],
    "networks": [],
}


@pytest.mark.parametrize(
    ("changed", "labels"),
    [
        ({}, []),
        ({"shared": True}, ["use"]),
        ({"read_only": True}, ["writing"]),
        ({"discard": False}, ["discard"]),
        ({"chap": ChapMode.NONE}, ["CHAP"]),
        ({"chap": ChapMode.MUTUAL}, ["CHAP"]),
        ({"initiators": ["iqn.2026-11.net.example:pc"]}, ["initiators"]),
        ({"networks": ["10.0.0.0/8"]}, ["networks"]),
    ],
)
def test_status_names_what_is_not_as_usual(changed: dict[str, Any], labels: list[str]) -> None:
    of = VolumeSettings(**USUAL | changed)
    assert [label for label, _ in restrictions(of)] == labels
    assert len(settings(of)) == 7


def test_secrets_are_shown_with_what_they_are_for() -> None:
    chap = Chap(
        user="backup",
        secret=SecretStr("first secret 1"),
        mutual_user="twinlock",
        mutual_secret=SecretStr("second secret 2"),
    )
    told = dict(credentials(chap))
    assert told["CHAP secret"].startswith("first secret 1 ")
    assert told["mutual CHAP secret"].startswith("second secret 2 ")
    assert len(credentials(chap.model_copy(update={"mutual_user": None, "mutual_secret": None}))) == 2


def test_columns() -> None:
    assert indented([("a", "1"), ("long", "2")]) == ["  a     1", "  long  2"]
    assert indented([]) == []


def test_options_mean_what_they_say_or_are_refused() -> None:
    assert [chap_mode(text) for text in (None, "auto", "mutual", "none")] == [None, *_modes()]
    assert [yes_or_no("--discard", text) for text in (None, "yes", "no")] == [None, True, False]
    for attempt in (lambda: chap_mode("always"), lambda: yes_or_no("--discard", "perhaps")):
        with pytest.raises(BadOption):
            attempt()


def _modes() -> list[ChapMode]:
    return [ChapMode.AUTO, ChapMode.MUTUAL, ChapMode.NONE]


@pytest.mark.parametrize(
    ("least", "most", "told"),
    [
        ("10M", "unlimited", "at least 10M a second, at most unlimited"),
        ("10M", "50M", "at least 10M a second, at most 50M"),
        ("10M", "1M", "1M a second"),
        ("100K", "100K", "100K a second"),
    ],
)
def test_a_maximum_below_the_minimum_counts_for_both(least: str, most: str, told: str) -> None:
    of = VolumeSettings(**USUAL, resync_minimum=least, resync_maximum=most)
    assert dict(settings(of))["resync"] == told
