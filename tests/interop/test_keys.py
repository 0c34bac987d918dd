"""``twinlock key`` and ``twinlock header`` as a person types them, locked and unlocked."""

import contextlib
import json
import os
import pty
import random
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, twinlock

CHEAP = ("--iter-time", "0")


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[Daemon]:
    """A locked volume, and files with keys beside it."""
    daemon = Daemon(tmp_path / "root")
    for name in ("one", "two", "three"):
        (tmp_path / name).write_text(name)
    (tmp_path / "file").write_bytes(os.urandom(1_000_000))
    members = [str(tmp_path / f"disk{number}.img") for number in range(2)]
    with daemon:
        daemon.cli("create", "v", *members, "--size", "64M", *key(daemon, "one"), *CHEAP, "--chap", "none")
        daemon.cli("lock", "v")
        yield daemon


def key(daemon: Daemon, name: str, option: str = "--passphrase-file") -> tuple[str, str]:
    return option, str(daemon.root.parent / name)


def numbers(daemon: Daemon) -> dict[int, str]:
    listed = json.loads(daemon.cli("key", "list", "v", "--json").stdout)
    return {each["number"]: each["kind"] for each in listed["keys"]}


def refused(daemon: Daemon, *words: str) -> tuple[int, str]:
    done = daemon.cli(*words, check=False)
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.long
def test_keys_while_locked_and_unlocked(keyed: Daemon) -> None:
    told = keyed.cli("key", "add", "v", *key(keyed, "one"), *key(keyed, "file", "--new-key-file"), *CHEAP)
    assert "Key 1 is added, a key file" in told.stdout
    assert refused(keyed, "key", "remove", "v", "0")[0] == 49
    keyed.cli("unlock", "v", *key(keyed, "file", "--key-file"))
    worker = keyed.worker_pids()
    keyed.cli("key", "add", "v", *key(keyed, "one"), *key(keyed, "two", "--new-passphrase-file"), *CHEAP)
    assert numbers(keyed) == {0: "passphrase", 1: "key file", 2: "passphrase"}
    changed = key(keyed, "three", "--new-passphrase-file")
    assert "Key 2" in keyed.cli("key", "change", "v", *key(keyed, "two"), *changed, *CHEAP).stdout
    assert refused(keyed, "key", "test", "v", *key(keyed, "two"))[0] == 40
    told = keyed.cli("key", "remove", "v", "0", "--forget-backups")
    assert "They are deleted" in told.stdout
    assert keyed.worker_pids() == worker
    keyed.cli("lock", "v")
    assert "key 2" in keyed.cli("key", "test", "v", *key(keyed, "three")).stdout
    keyed.cli("unlock", "v", *key(keyed, "three"))


@pytest.mark.long
def test_headers_go_out_and_come_back(keyed: Daemon) -> None:
    file = keyed.root.parent / "backup"
    keyed.cli("header", "backup", "v", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    whole = keyed.root.parent / "whole"
    whole.write_bytes(file.read_bytes() + bytes(1 << 20))
    opened = ["cryptsetup", "open", "--test-passphrase", *key(keyed, "one", "--key-file"), str(whole)]
    subprocess.run(opened, check=True)
    keyed.cli("unlock", "v", *key(keyed, "one"))
    keyed.cli("key", "change", "v", *key(keyed, "one"), *key(keyed, "two", "--new-passphrase-file"), *CHEAP)
    assert "its keys: 0" in keyed.cli("header", "restore", "v", str(file)).stdout
    keyed.cli("key", "test", "v", *key(keyed, "one"))
    foreign = keyed.root.parent / "foreign"
    foreign.write_bytes(bytes(32 << 20))
    format_ = ["cryptsetup", "luksFormat", "-q", "--pbkdf-memory", "32", "--pbkdf-force-iterations", "4"]
    subprocess.run([*format_, foreign], input=b"x", check=True)
    keyed.cli("lock", "v")
    code, sentence = refused(keyed, "header", "restore", "v", str(foreign))
    assert (code, "it belongs to container" in sentence) == (51, True)
    assert refused(keyed, "header", "backup", "v", str(file))[0] == 51
    kept = keyed.cli("header", "list", "v").stdout.splitlines()
    assert len(kept) == 2  # two differ, however often they were kept
    assert len(keyed.cli("header", "forget", "v").stdout.splitlines()) == 2


def test_errors_and_prompts(keyed: Daemon) -> None:
    assert refused(keyed, "key", "remove", "v", "0")[0] == 49
    assert refused(keyed, "key", "remove", "v", "7")[0] == 48
    assert refused(keyed, "key", "list", "w")[0] == 10
    wrong = refused(
        keyed, "key", "add", "v", *key(keyed, "two"), *key(keyed, "three", "--new-passphrase-file")
    )
    assert wrong[0] == 40
    assert typed(keyed, ["key", "add", "v", *CHEAP], "one", "four", "four") == 0
    assert typed(keyed, ["key", "test", "v"], "four") == 0
    assert typed(keyed, ["key", "add", "v", *CHEAP], "one", "five", "other") == 41


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("rounds", [25])
def test_a_worker_killed_during_a_change_of_keys(keyed: Daemon, rounds: int) -> None:
    """The old key or the new one opens it, and one of them only; the other keys are untouched."""
    chance = random.Random(rounds)
    keyed.cli("key", "add", "v", *key(keyed, "one"), *key(keyed, "file", "--new-key-file"), *CHEAP)
    old, new = "one", "two"
    for _ in range(rounds):
        keyed.cli("unlock", "v", *key(keyed, "file", "--key-file"))
        words = ["key", "change", "v", *key(keyed, old), *key(keyed, new, "--new-passphrase-file"), *CHEAP]
        began = threading.Timer(0.3 + chance.random() * 0.7, kill, keyed.worker_pids())
        began.start()
        keyed.cli(*words, check=False)
        began.join()
        keyed.cli("lock", "v", check=False)
        opening = [
            each
            for each in (old, new)
            if not keyed.cli("key", "test", "v", *key(keyed, each), check=False).returncode
        ]
        assert len(opening) == 1
        if opening == [new]:
            old, new = new, old


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def typed(daemon: Daemon, words: list[str], *answers: str) -> int:
    """The exit code of a command at a terminal at which ``answers`` are typed."""
    pid, terminal = pty.fork()
    if pid == 0:  # the child
        os.execvpe(twinlock()[0], [*twinlock(), *words], daemon.environ)
    shown = b""
    try:
        for answer in answers:
            while not shown.rstrip().endswith(b":"):
                shown += os.read(terminal, 1000)
            shown = b""
            os.write(terminal, answer.encode() + b"\n")
        while os.read(terminal, 1000):
            pass
    except OSError:  # its end
        pass
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
