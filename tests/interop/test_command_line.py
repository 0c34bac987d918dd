"""What a person sees at a terminal."""

import os
import pty
import select
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import MakeVolume
from tests.support.daemon import Daemon, twinlock
from twinlock import errors

FIRST, SECOND = "New passphrase: ", "The same again: "


def at_terminal(daemon: Daemon, *arguments: str, typed: dict[str, str]) -> tuple[int, str]:
    """Run a command at a terminal of its own, typing an answer (of ``typed``) once its prompt is shown."""
    ours, theirs = pty.openpty()
    command = [*twinlock(), *arguments]
    process = subprocess.Popen(command, env=daemon.environ, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown, waiting = "", dict(typed)
    while (data := _read(ours)) is not None:
        shown += data
        for prompt in [prompt for prompt in waiting if shown.endswith(prompt)]:
            os.write(ours, waiting.pop(prompt).encode() + b"\n")
    os.close(ours)
    assert not waiting, shown
    return process.wait(10), shown


def _read(terminal: int) -> str | None:
    """What is shown next; None once the command has closed its side."""
    assert select.select([terminal], [], [], 60)[0], "nothing is shown any more"
    try:
        return os.read(terminal, 4096).decode()
    except OSError:
        return None


def test_a_new_passphrase_is_asked_for_twice_and_not_shown(daemon: Daemon, members: list[Path]) -> None:
    command = ("create", "backup", *map(str, members), "--size", "64M", "--iter-time", "0")
    code, shown = at_terminal(daemon, *command, typed={FIRST: "open sesame", SECOND: "open sesam"})
    assert code == errors.PassphraseUnusable.exit_code, shown
    assert "differ" in shown
    assert not members[0].exists()

    code, shown = at_terminal(daemon, *command, typed={FIRST: "open sesame", SECOND: "open sesame"})
    assert code == 0, shown
    assert "sesame" not in shown
    daemon.cli("lock", "backup")
    code, shown = at_terminal(daemon, "unlock", "backup", typed={"Passphrase: ": "open sesame"})
    assert code == 0, shown
    assert "is unlocked" in shown


def test_a_passphrase_from_standard_input(daemon: Daemon, make_volume: MakeVolume) -> None:
    make_volume()
    daemon.cli("lock", "backup")
    daemon.cli("unlock", "backup", "--passphrase-file", "-", stdin=b"correct horse battery staple\n")
    assert daemon.status("backup")["state"] == "unlocked"


def test_status_says_whether_the_data_are_safe(
    daemon: Daemon, make_volume: MakeVolume, members: list[Path], passphrase_file: Path
) -> None:
    assert "no volumes yet" in daemon.cli("status").stdout
    make_volume()
    assert "every member holds everything" in daemon.cli("status").stdout
    daemon.cli("lock", "backup")
    assert "backup: locked" in daemon.cli("status").stdout
    members[1].unlink()
    daemon.cli("unlock", "backup", "--passphrase-file", str(passphrase_file))
    assert "DEGRADED" in daemon.cli("status", "backup").stdout


def blank(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(1 << 20))


def cut(path: Path) -> None:
    os.truncate(path, 32 << 20)


@pytest.mark.parametrize("spoil", [blank, pytest.param(cut, marks=pytest.mark.long)])
def test_one_member_that_is_spoiled_keeps_nobody_from_the_data(
    daemon: Daemon,
    make_volume: MakeVolume,
    members: list[Path],
    passphrase_file: Path,
    spoil: Callable[[Path], None],
) -> None:
    make_volume()
    daemon.cli("lock", "backup")
    spoil(members[0])
    daemon.cli("unlock", "backup", "--passphrase-file", str(passphrase_file))
    told = daemon.cli("status", "backup").stdout
    assert "DEGRADED" in told
    opened = daemon.status("backup")["open"]
    states = {member["path"]: member["state"] for member in opened["members"]}
    assert states == {str(members[0]): "missing", str(members[1]): "in sync"}


def test_connect_fills_in_what_to_type(daemon: Daemon, make_volume: MakeVolume) -> None:
    make_volume()
    text = daemon.cli("connect", "backup").stdout
    assert f"iscsiadm -m node -T iqn.2026-11.io.twinlock:backup -p 127.0.0.1:{daemon.port} --login" in text
    assert "Connect-IscsiTarget -NodeAddress iqn.2026-11.io.twinlock:backup" in text
    assert "macOS has no iSCSI initiator" in text
    assert daemon.secret("backup") not in text


def test_one_member_and_no_encryption_are_named_as_what_they_are(daemon: Daemon, members: list[Path]) -> None:
    told = daemon.cli(
        "create", "backup", str(members[0]), "--size", "64M", "--no-encryption", "--chap", "none"
    ).stdout
    for words in ("No redundancy", "No encryption", "No CHAP", "It is unlocked"):
        assert words in told
    assert "one member, no redundancy" in daemon.cli("status").stdout


def test_lock_and_unlock_twice_do_no_harm(
    daemon: Daemon, make_volume: MakeVolume, passphrase_file: Path
) -> None:
    make_volume()
    unlock = ("unlock", "backup", "--passphrase-file", str(passphrase_file))
    assert "already" in daemon.cli(*unlock).stdout
    daemon.cli("lock", "backup")
    daemon.cli("lock", "backup")
    daemon.cli(*unlock)
