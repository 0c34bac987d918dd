"""What an initiator is told: which targets, at which addresses."""

import pytest

from twinlock.server.access import AllowList
from twinlock.server.discovery import VisibleTargets, target_addresses
from twinlock.server.portal import Portal

PC, MAC = "iqn.2026-11.example:pc", "iqn.2026-11.example:mac"


@pytest.mark.parametrize(
    ("portals", "reached", "expected"),
    [
        (["[::]:3260"], "10.0.0.5:3260", ["10.0.0.5:3260"]),
        (["[::]:3260"], "[fd00::5]:3260", ["[fd00::5]:3260"]),
        (["0.0.0.0:3260"], "10.0.0.5:3260", ["10.0.0.5:3260"]),
        (
            ["10.0.0.5:3260", "10.1.0.5:3260"],
            "10.1.0.5:3260",
            ["10.1.0.5:3260", "10.0.0.5:3260"],
        ),
        (
            ["10.0.0.5:3260", "[fd00::5]:3261"],
            "10.0.0.5:3260",
            ["10.0.0.5:3260", "[fd00::5]:3261"],
        ),
        (["[::]:3260", "[::]:860"], "10.0.0.5:860", ["10.0.0.5:860", "10.0.0.5:3260"]),
        (["0.0.0.0:3260", "[fd00::5]:3261"], "[fd00::5]:3261", ["[fd00::5]:3261"]),
        (["127.0.0.1:3260", "10.0.0.5:3260"], "10.0.0.5:3260", ["10.0.0.5:3260"]),
        (
            ["127.0.0.1:3260", "10.0.0.5:3260"],
            "127.0.0.1:3260",
            ["127.0.0.1:3260", "10.0.0.5:3260"],
        ),
        (
            ["[fe80::1%eth0]:3260", "[fe80::1%eth1]:3260", "10.0.0.5:3260"],
            "[fe80::1%eth0]:3260",
            ["[fe80::1]:3260", "10.0.0.5:3260"],
        ),
        (["[fe80::1%eth0]:3260", "10.0.0.5:3260"], "10.0.0.5:3260", ["10.0.0.5:3260"]),
    ],
)
def test_portals_as_another_machine_can_use_them(
    portals: list[str], reached: str, expected: list[str]
) -> None:
    told = target_addresses(map(Portal.parse, portals), Portal.parse(reached))
    assert told == [f"{address},1" for address in expected], "all in one portal group"
    assert not any("[::]" in address or "0.0.0.0" in address or "%" in address for address in told)


def test_lists_filter_what_is_shown() -> None:
    targets = [
        ("open", AllowList.of((), ())),
        ("pc's", AllowList.of([PC], ())),
        ("near", AllowList.of((), ["10.0.0.0/8"])),
    ]
    shown = {
        (name, host): [target for target, _ in VisibleTargets(targets, host, ["a:1"]).visible(name)]
        for name in (PC, MAC)
        for host in ("10.0.0.5", "192.0.2.5")
    }
    assert shown == {
        (PC, "10.0.0.5"): ["open", "pc's", "near"],
        (MAC, "10.0.0.5"): ["open", "near"],
        (PC, "192.0.2.5"): ["open", "pc's"],
        (MAC, "192.0.2.5"): ["open"],
    }


def test_each_target_has_all_addresses() -> None:
    targets = VisibleTargets([("open", AllowList.of((), ()))], "10.0.0.5", ["a:1,1", "b:2,1"])
    assert targets.visible(PC) == [("open", ["a:1,1", "b:2,1"])]
    assert targets.find("open") is None, "normal sessions are the workers'"
