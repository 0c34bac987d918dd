"""Tasks that change who the members are: the configuration follows, whatever becomes of who asked."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from twinlock.daemon.folders import Folders
from twinlock.daemon.supervisor import Supervisor
from twinlock.errors import NotPossibleNow
from twinlock.server.tasks import MemberAdd, MemberList, MemberReplace, Task

FOUND = {"array": "x", "size": 1, "places": 2, "open": True, "degraded": False, "found": []}


class Disks:
    """What the worker does to the disks, once it may."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.may = asyncio.Event()
        self.refuses = False
        self.noted: list[tuple[str, ...]] = []
        self._supervisor = supervisor
        supervisor._serving = True
        supervisor.find("backup").maintain = self.maintain  # type: ignore[method-assign]

    async def maintain(self, task: Task) -> dict[str, object]:
        if isinstance(task, MemberList):
            return FOUND
        self.noted.append(self._supervisor._file.load().volume[0].leaving)
        await self.may.wait()
        if self.refuses:
            raise NotPossibleNow(reason="it is small")
        leaving = ["/x"] if isinstance(task, MemberReplace) else []
        return FOUND | {"members": ["/x", "/y", "/z"], "leaving": leaving, "copies": 2 if leaving else None}


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    folders = Folders.locate({"TWINLOCK_ROOT": str(tmp_path)})
    folders.make()
    folders.config_file.write_text('# mine\n[[volume]]\nname = "backup"\nmembers = ["/x", "/y"]\n')
    made = Supervisor(folders)
    made.claim()
    yield made
    made.release()


def table(supervisor: Supervisor) -> tuple[Any, ...]:
    found = supervisor._file.load().volume[0]
    return found.members, found.leaving, found.copies


def test_the_configuration_follows_also_if_nobody_waits_any_more(supervisor: Supervisor) -> None:
    async def run() -> None:
        disks = Disks(supervisor)
        command = asyncio.ensure_future(supervisor.maintain("backup", MemberAdd(path="/z")))
        while not disks.noted:
            await asyncio.sleep(0)
        command.cancel()  # Ctrl-C: on the disks it is done all the same
        with pytest.raises(asyncio.CancelledError):
            await command
        disks.may.set()
        for _ in range(100):
            await asyncio.sleep(0)

    asyncio.run(run())
    assert table(supervisor) == (("/x", "/y", "/z"), (), None)


def test_a_replacement_is_written_down_before_the_disks_know_of_it(supervisor: Supervisor) -> None:
    async def run() -> None:
        disks = Disks(supervisor)
        disks.may.set()
        await supervisor.maintain("backup", MemberReplace(path="/x", new="/z"))
        assert disks.noted == [("/x",)]

    asyncio.run(run())
    assert table(supervisor) == (("/x", "/y", "/z"), ("/x",), 2)


def test_changes_of_members_do_not_overtake_each_other(supervisor: Supervisor) -> None:
    """The second starts from the members that the first one left, also if the file is slow to follow."""
    volume = supervisor.find("backup")

    async def add(task: Task) -> dict[str, object]:
        assert isinstance(task, MemberAdd)
        return FOUND | {"members": [*volume.configured.members, task.path]}

    async def run() -> None:
        supervisor._serving = True
        volume.maintain = add  # type: ignore[method-assign]
        async with supervisor._changing:  # somebody is at the file
            tasks = [asyncio.ensure_future(supervisor.maintain("backup", MemberAdd(path="/z")))]
            await asyncio.sleep(0.01)
            tasks.append(asyncio.ensure_future(supervisor.maintain("backup", MemberAdd(path="/w"))))
            await asyncio.sleep(0.01)
            assert not any(task.done() for task in tasks)
        await asyncio.gather(*tasks)

    asyncio.run(run())
    assert table(supervisor) == (("/x", "/y", "/z", "/w"), (), None)
    assert volume.configured.members == ("/x", "/y", "/z", "/w")


def test_what_is_refused_leaves_the_file_as_it_was(supervisor: Supervisor) -> None:
    before = supervisor.folders.config_file.read_text()

    async def run() -> None:
        disks = Disks(supervisor)
        disks.may.set()
        disks.refuses = True
        with pytest.raises(NotPossibleNow):
            await supervisor.maintain("backup", MemberReplace(path="/x", new="/z"))

    asyncio.run(run())
    assert supervisor.folders.config_file.read_text() == before
