"""What a person is told to type."""

from typing import Any

import pytest

from twinlock.cli.commands.connect import reachable, render
from twinlock.daemon.models import ConnectReply, Login

ONE_WAY = Login(user="backup", mutual_user=None, secret_file="/lib/secrets/backup.toml")
MUTUAL = ONE_WAY.model_copy(update={"mutual_user": "twinlock"})
DISCOVERY = Login(user="discovery", mutual_user=None, secret_file="/lib/secrets/_discovery.toml")


def text(**settings: Any) -> str:
    facts: dict[str, Any] = {
        "name": "backup",
        "target": "iqn.2026-11.io.twinlock:backup",
        "portals": ["10.0.0.5:3260"],
        "login": ONE_WAY,
        "discovery": None,
        "shared": False,
        "read_only": False,
        "waits": False,
    }
    reply = ConnectReply(**facts | settings)
    return render(reply, reachable(reply.portals))


def test_one_way_chap() -> None:
    told = text()
    assert "-n node.session.auth.username -v backup\n" in told
    assert "-AuthenticationType ONEWAYCHAP -ChapUsername backup -ChapSecret SECRET" in told
    assert "CHAP user backup, secret SECRET" in told
    assert "/lib/secrets/backup.toml" in told
    assert "Connect one machine at a time" in told
    assert "macOS has no iSCSI initiator" in told
    for word in ("_in", "TARGET_SECRET", "MUTUAL", "mutual", "DISCOVERY", "cluster", "read-only"):
        assert word not in told


def test_mutual_chap() -> None:
    told = text(login=MUTUAL)
    assert "-n node.session.auth.username_in -v twinlock\n" in told
    assert "-n node.session.auth.password_in -v TARGET_SECRET\n" in told
    assert "Set-IscsiChapSecret -ChapSecret TARGET_SECRET" in told
    assert "-AuthenticationType MUTUALCHAP -ChapUsername backup" in told
    assert "mutual CHAP user twinlock, secret TARGET_SECRET" in told
    assert "TARGET_SECRET: mutual_secret" in told


def test_no_chap() -> None:
    told = text(login=None)
    assert "CHAP" not in told
    assert "SECRET" not in told


def test_discovery_chap_is_for_those_that_discover() -> None:
    told = text(discovery=DISCOVERY)
    portal = "New-IscsiTargetPortal -TargetPortalAddress 10.0.0.5 -TargetPortalPortNumber 3260"
    assert f"{portal} -AuthenticationType ONEWAYCHAP -ChapUsername discovery" in told
    assert "Discovery asks for CHAP user discovery" in told
    assert "/lib/secrets/_discovery.toml" in told


def test_what_waits_for_the_next_unlock_is_told() -> None:
    assert "from the next unlock on" in text(waits=True)
    assert "unlock" not in text()
    assert "what create or set printed last" in text()


def test_shared_and_read_only_are_warned_of() -> None:
    assert "Only a cluster file system" in text(shared=True)
    assert "Connect one machine at a time" not in text(shared=True)
    assert "It is read-only" in text(read_only=True)
    assert "give it a file system" not in text(read_only=True)


@pytest.mark.parametrize(
    ("portals", "shown", "others"),
    [
        (["10.0.0.5:3260", "[fd00::5]:3261"], "-p 10.0.0.5:3260 ", "at [fd00::5]:3261 as well"),
        (["127.0.0.1:3260", "10.0.0.5:3260"], "-p 10.0.0.5:3260 ", None),
        (["127.0.0.1:3260"], "-p 127.0.0.1:3260 ", None),
        (["[fe80::5%eth0]:3260"], "-p [fe80::5]:3260 ", None),
    ],
)
def test_portals_as_the_other_machine_sees_them(portals: list[str], shown: str, others: str | None) -> None:
    told = text(portals=portals)
    assert shown in told
    assert (others in told) if others else ("as well" not in told)


def test_a_wildcard_is_shown_as_an_address() -> None:
    told = text(portals=["[::]:3260"])
    assert "[::]" not in told
    assert ":3260" in told
