"""What a command does not wait for: what it does not need is not imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from twinlock.cli.main import COMMANDS, GROUPS, application

REPORT = """
import sys
from twinlock.cli.main import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""
OF_THE_DAEMON = {
    "fastapi",
    "starlette",
    "uvicorn",
    "httpx",
    "asyncio",
    "tomlkit",
    "twinlock.daemon.supervisor",
}
OF_THE_WORKER = {"twinlock.server.worker", "twinlock.luks", "twinlock.scsi", "twinlock.iscsi"}


def loaded(tmp_path: Path, *arguments: str) -> set[str]:
    """The modules that a command has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT, *arguments],
        env={"TWINLOCK_ROOT": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
        check=False,
        capture_output=True,
        text=True,
    )
    modules = set(done.stderr.split())
    assert "twinlock.cli.main" in modules, done.stderr
    return modules


@pytest.mark.parametrize("arguments", [["--help"], ["status"]], ids=" ".join)
def test_what_serves_is_not_loaded(tmp_path: Path, arguments: list[str]) -> None:
    assert not loaded(tmp_path, *arguments) & (OF_THE_DAEMON | OF_THE_WORKER)


def test_a_command_loads_no_other(tmp_path: Path) -> None:
    modules = loaded(tmp_path, "status")
    others = {*COMMANDS.values(), *GROUPS} - {"status"}
    assert "twinlock.cli.commands.status" in modules
    assert not modules & {f"twinlock.cli.commands.{name}" for name in others}


@pytest.mark.parametrize("arguments", [[], ["--help"], ["nonsense"], ["--version", "status"]], ids=" ".join)
def test_without_a_command_all_are_known(arguments: list[str]) -> None:
    app = application(arguments)
    assert [each.name for each in app.registered_commands] == list(COMMANDS)
    assert [each.name for each in app.registered_groups] == list(GROUPS)
