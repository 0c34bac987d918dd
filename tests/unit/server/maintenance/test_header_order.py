"""A header's backup comes first, durably; and a store without room for it."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.steps import Step, goes_on, watched
from tests.unit.server.maintenance.encrypted import do
from tests.unit.server.maintenance.header_changes import (
    BEFORE,
    CHANGES,
    NEW,
    OTHER,
    Place,
    judge_backups,
    luks2,
    now_in,
    opening,
    place_of,
    steps_of,
)
from twinlock.errors import HeaderBackupUnusable, HeaderNotWritten

ONE_OF_EACH = [
    "change",
    *(pytest.param(name, marks=pytest.mark.long) for name in CHANGES if name != "change"),
]


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_the_backup_is_durable_before_the_header_changes_and_before_an_older_one_goes(
    name: str, tmp_path: Path
) -> None:
    place = place_of(tmp_path / "v", luks2, full=True)
    steps = steps_of(place, name)
    folder, disk = str(place.store.folder), place.spec.members[0]
    acts = [(each.kind, each.path, each.to) for each in steps if not each.data]
    named = next(act for act in acts if act[0] == "rename" and act[2].endswith(".luks"))
    journal = next(act for act in acts if act[0] == "rename" and act[2].endswith("change.json"))
    old = next(act for act in acts if act[0] == "unlink" and act[1].endswith(".luks"))
    due = [("sync", named[1], ""), named, ("sync", folder, ""), old, ("sync", journal[1], ""), journal]
    assert is_in_order([*due, ("sync", folder, ""), ("unlink", journal[2], ""), ("sync", folder, "")], acts)
    first = next(number for number, each in enumerate(steps) if each.path == disk and each.data)
    there = [(each.kind, each.path, each.to) for each in steps[:first]]
    assert is_in_order([journal, ("sync", folder, "")], there)
    last = max(number for number, each in enumerate(steps) if each.path == disk and each.data)
    assert is_in_order([("sync", disk, ""), ("unlink", journal[2], "")], acts_of(steps[last:]))


def acts_of(steps: list[Step]) -> list[tuple[str, str, str]]:
    return [(each.kind, each.path, each.to) for each in steps]


def is_in_order(wanted: list[tuple[str, str, str]], acts: list[tuple[str, str, str]]) -> bool:
    """Whether all are there, one behind the other."""
    rest = iter(acts)
    return all(each in rest for each in wanted)


def do_without_room(place: Place, name: str, number: int) -> None:
    """The task, while the store has no room from its step ``number`` on; what is there can be taken away."""
    left = number

    def note(step: Step, _half: object) -> None:
        nonlocal left
        if is_of_store(place, step):
            left -= 1
            if left < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with watched(place.root, note):
        do(place.spec, CHANGES[name].task(place))


def is_of_store(place: Place, step: Step) -> bool:
    """Whether it needs room there."""
    return step.path.startswith(f"{place.root}/headers") and step.kind != "unlink"


@pytest.mark.parametrize("full", [True, pytest.param(False, marks=pytest.mark.long)])
def test_without_room_at_any_step_nothing_is_changed(full: bool, tmp_path: Path) -> None:
    place = place_of(tmp_path / "v", luks2, full=full)
    steps = [step for step in steps_of(place, "remove") if is_of_store(place, step)]
    numbers = [n for n in range(len(steps) - 1) if not goes_on(steps[n], steps[n - 1] if n else None)]
    assert len(numbers) > 8
    for number in numbers:
        place.put(place.files)
        with pytest.raises(
            HeaderBackupUnusable, match="No space left on device; nothing was changed"
        ) as told:
            do_without_room(place, "remove", number)
        assert told.value.exit_code == 51
        assert place.headers(now_in(place.root)) == place.headers(place.files)
        judge_backups(place)
        assert not list(place.store.folder.glob("*.new"))
    do(place.spec, CHANGES["remove"].task(place))
    assert opening(place.spec, BEFORE) == CHANGES["remove"].after


def test_without_room_at_the_very_end_the_change_is_not_called_none(tmp_path: Path) -> None:
    place = place_of(tmp_path / "v", luks2, full=True)
    steps = [step for step in steps_of(place, "remove") if is_of_store(place, step)]
    place.put(place.files)
    with pytest.raises(HeaderNotWritten, match="journal"):
        do_without_room(place, "remove", len(steps) - 1)
    assert opening(place.spec, BEFORE) == CHANGES["remove"].after


@pytest.mark.parametrize("pages", [2, 80, 300, 800])
def test_a_full_disk(pages: int, tmp_path: Path) -> None:
    """A file system of so many: too small for the folders, the backup, the journal, for nothing."""
    place = place_of(tmp_path / "v", luks2, full=False)
    folder = place.store.folder.parent
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={pages * 4096}", "none", folder], check=True)
    try:
        if pages < 800:
            with pytest.raises(HeaderBackupUnusable, match="No space left on device"):
                do(place.spec, CHANGES["change"].task(place))
        else:
            do(place.spec, CHANGES["change"].task(place))
    finally:
        left = [path.name for path in place.store.folder.glob("*.new")]
        subprocess.run(["umount", folder], check=True)
    assert left == []
    assert opening(place.spec, BEFORE | {NEW}) == (BEFORE if pages < 800 else {OTHER, NEW})
