"""Where things are kept."""

from pathlib import Path

import pytest

from twinlock.daemon.folders import Folders


@pytest.mark.parametrize(
    ("environ", "uid", "expected"),
    [
        ({"TWINLOCK_ROOT": "/r"}, 0, ("/r/etc", "/r/lib", "/r/run")),
        ({"TWINLOCK_ROOT": "/r", "HOME": "/h"}, 1000, ("/r/etc", "/r/lib", "/r/run")),
        ({}, 0, ("/etc/twinlock", "/var/lib/twinlock", "/run/twinlock")),
        (
            {"HOME": "/h", "XDG_RUNTIME_DIR": "/run/user/1000"},
            1000,
            ("/h/.config/twinlock", "/h/.local/state/twinlock", "/run/user/1000/twinlock"),
        ),
        (
            {"HOME": "/h", "XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s"},
            1000,
            ("/c/twinlock", "/s/twinlock", "/h/.local/state/twinlock/run"),
        ),
    ],
)
def test_where(environ: dict[str, str], uid: int, expected: tuple[str, str, str]) -> None:
    folders = Folders.locate(environ, uid)
    assert (str(folders.config), str(folders.state), str(folders.runtime)) == expected


def test_state_and_runtime_are_private(tmp_path: Path) -> None:
    folders = Folders.locate({"TWINLOCK_ROOT": str(tmp_path / "deep" / "root")})
    folders.make()
    for folder in (
        folders.state,
        folders.runtime,
        folders.secrets,
        folders.reservations,
        folders.logs,
        folders.workers,
    ):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert set((tmp_path / "deep" / "root").iterdir()) == {folders.config, folders.state, folders.runtime}
