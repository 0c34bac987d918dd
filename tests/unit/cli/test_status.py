"""What ``twinlock status`` shows."""

import time
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from twinlock.cli.commands.status import _show
from twinlock.cli.words import moment
from twinlock.daemon.models import ChapMode, PortalReport, Report, VolumeReport, VolumeSettings, VolumeState
from twinlock.server.messages import FailedLogins, JobStatus, MemberStatus, SessionStatus, VolumeStatus
from twinlock.server.tasks import ScrubState, ScrubStatus

USUAL = VolumeSettings(
    chap=ChapMode.AUTO, shared=False, read_only=False, discard=True, initiators=[], networks=[]
)
NOW = 1_800_000_000.0
OPEN: dict[str, Any] = {
    "array": "0b6d0000-0000-0000-0000-000000000000",
    "size": 1 << 30,
    "block_size": 512,
    "encrypted": False,
    "target": "iqn.2026-11.io.twinlock:backup",
    "clean": True,
    "degraded": False,
    "members": (MemberStatus(path="/x", state="in sync"), MemberStatus(path="/y", state="in sync")),
    "chap": True,
    "mutual_chap": False,
    "shared": False,
    "read_only": False,
    "discard": True,
    "initiators": (),
    "networks": (),
}


def shown(
    capsys: pytest.CaptureFixture[str], portals: list[PortalReport], terminal: bool = False, **volume: Any
) -> str:
    facts: dict[str, Any] = {
        "name": "backup",
        "state": VolumeState.UNLOCKED,
        "target": "iqn.2026-11.io.twinlock:backup",
        "encrypted": False,
        "chap_user": "backup",
        "members": ["/x", "/y"],
        "settings": USUAL,
        "open": VolumeStatus(**OPEN | volume.pop("open", {})),
    }
    report = Report(
        version="1",
        portals=portals,
        volumes=[VolumeReport(**facts | volume)],
        discovery_chap=ChapMode.NONE,
        failed_discoveries=[FailedLogins(address="192.0.2.9", count=3, last=NOW - 61)],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: NOW)
        _show(Console(width=80, force_terminal=terminal), report)
    return capsys.readouterr().out


HERE = PortalReport(portal="10.0.0.5:3260", listening=True)


def test_several_sessions_and_failed_logins(capsys: pytest.CaptureFixture[str]) -> None:
    names = ("iqn.2026-11.net.example:pc", "iqn.2026-11.net.example:a-machine-with-quite-a-long-name.example")
    sessions = tuple(SessionStatus(initiator=n, peer="10.0.0.9:40000", since=NOW - 300) for n in names)
    failed = (FailedLogins(address="10.0.0.66", count=7, last=NOW - 130),)
    told = shown(capsys, [HERE], open={"sessions": sessions, "failed_logins": failed})
    for name in names:
        assert f"{name} from 10.0.0.9:40000, for 5 min" in told, "whole, however long the line"
    assert "7 times from 10.0.0.66, last 2 min ago" in told
    assert "discovery: wrong secret 3 times from 192.0.2.9, last 1 min ago" in told
    assert "nobody" not in told


def test_a_single_failure_and_a_name_that_does_not_print(capsys: pytest.CaptureFixture[str]) -> None:
    session = SessionStatus(initiator="pc\n\x1b[2Jbackup: locked", peer="10.0.0.9:40000", since=NOW)
    failed = (FailedLogins(address="10.0.0.66", count=1, last=NOW),)
    told = shown(capsys, [HERE], open={"sessions": (session,), "failed_logins": failed}, secrets_wait=True)
    assert "wrong secret  once from 10.0.0.66, last 0 min ago" in told
    assert r"pc\n\x1b[2Jbackup: locked from" in told
    assert "CHAP secrets  changed, from its next unlock on" in told


def test_portals_that_listen_and_that_wait(capsys: pytest.CaptureFixture[str]) -> None:
    waiting = PortalReport(portal="[fd00::5]:3260", listening=False, reason="this machine does not have it")
    told = shown(capsys, [HERE, waiting])
    assert "listening on 10.0.0.5:3260\n" in told
    assert "NOT listening on [fd00::5]:3260: this machine does not have it; it is tried again" in told
    assert "listening on" not in shown(capsys, [waiting]).replace("NOT listening on", "")


def test_settings_that_are_not_as_usual_and_those_that_wait(capsys: pytest.CaptureFixture[str]) -> None:
    shared = USUAL.model_copy(update={"shared": True, "read_only": True})
    told = shown(capsys, [HERE], settings=shared, next_settings=USUAL)
    assert "shared by several initiators" in told
    assert "refused: read-only" in told
    assert "from its next unlock on; see twinlock set backup" in told
    assert "next unlock" not in shown(capsys, [HERE])


def test_jobs_have_numbers_and_on_a_terminal_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    resync = JobStatus(kind="resync", done=1 << 30, total=4 << 30, rate=float(80 << 20), seconds_left=38.4)
    jobs = (resync, JobStatus(kind="scrub", done=0, total=1 << 30))
    told = shown(capsys, [HERE], open={"jobs": jobs})
    assert "resync      1.0 GiB of 4.0 GiB (25 %), 80.0 MiB a second, 38 s left\n" in told
    assert "scrub       0 bytes of 1.0 GiB (0 %)\n" in told
    assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" not in told
    assert told.count("left") == 1
    lines = shown(capsys, [HERE], terminal=True, open={"jobs": jobs}).splitlines()
    for kind in ("resync", "scrub"):
        (place,) = [number for number, line in enumerate(lines) if line.startswith(f"  {kind} ")]
        bar = lines[place + 1]
        assert "\N{BOX DRAWINGS HEAVY HORIZONTAL}" * 10 in bar, "right below the numbers"
        assert bar.startswith(" " * 14)


def test_a_member_says_what_it_cost(capsys: pytest.CaptureFixture[str]) -> None:
    members = (
        MemberStatus(path="/x", state="in sync", checksums="on", read_errors=3, wrong_checksums=1),
        MemberStatus(path="/y", state="in sync", checksums="rebuilding"),
        MemberStatus(path="/z", state="in sync"),
        MemberStatus(path="/s", state="spare"),
    )
    told = shown(capsys, [HERE], open={"members": members})
    assert "/x  in sync, 3 blocks rewritten, 1 block with a wrong checksum\n" in told
    assert "/y  in sync, checksums are being rebuilt\n" in told
    assert "/z  in sync, without checksums\n" in told
    assert "/s  spare\n" in told


def test_when_the_last_scrub_ended_and_what_it_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert "none yet; it reads and compares every copy: twinlock scrub backup" in shown(capsys, [HERE])
    over = ScrubStatus(state=ScrubState.FINISHED, started=NOW - 9, ended=NOW, checked=1 << 30)
    told = f"last scrub  {moment(NOW)}: 1.0 GiB checked, nothing found"
    assert told in shown(capsys, [HERE], last_scrub=over)
    cancelled = replace(over, state=ScrubState.CANCELLED, lost=2)
    told = f"last scrub  cancelled {moment(NOW)}: 1.0 GiB checked, 2 lost"
    assert told in shown(capsys, [HERE], last_scrub=cancelled)
    alone = {"members": (MemberStatus(path="/x", state="in sync"),)}
    assert "scrub" not in shown(capsys, [HERE], open=alone), "there is nothing to compare"
