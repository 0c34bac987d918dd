"""What the last scrub found is kept, whatever becomes of the processes."""

import logging
from pathlib import Path
from uuid import UUID

import pytest

from twinlock.block.mirror.scrub_status import ScrubState, ScrubStatus
from twinlock.server.last_scrub import ScrubKeeper, last_scrub, scrub_file

OVER = ScrubStatus(
    state=ScrubState.FINISHED,
    started=1.0,
    ended=2.5,
    checked=4096,
    wrong=3,
    lost=1,
    lost_ranges=((8192, 4096),),
)


def path_in(folder: Path) -> Path:
    return scrub_file(str(folder / "scrubs" / "backup"), UUID(int=7))


def test_all_of_it_is_kept(tmp_path: Path) -> None:
    path = path_in(tmp_path)
    assert last_scrub(path) is None
    ScrubKeeper(path).note(OVER)
    assert last_scrub(path) == ScrubKeeper(path).last == OVER
    assert last_scrub(scrub_file(str(tmp_path / "scrubs" / "backup"), UUID(int=8))) is None


def test_one_that_is_not_over_does_not_hide_the_last_one(tmp_path: Path) -> None:
    keeper = ScrubKeeper(path_in(tmp_path))
    keeper.note(OVER)
    keeper.note(ScrubStatus())
    keeper.note(ScrubStatus(state=ScrubState.RUNNING, started=9.0))
    assert keeper.last == OVER
    cancelled = ScrubStatus(state=ScrubState.CANCELLED, started=9.0, ended=10.0)
    keeper.note(cancelled)
    assert keeper.last == cancelled


@pytest.mark.parametrize("content", [b"", b"{", b'{"state": "asleep"}', b"\xff"])
def test_a_file_that_is_damaged_is_as_none(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = path_in(tmp_path)
    path.parent.mkdir()
    path.write_bytes(content)
    assert last_scrub(path) is None
    assert str(path) in caplog.text


def test_what_cannot_be_kept_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "scrubs").write_text("no folder")
    keeper = ScrubKeeper(path_in(tmp_path))
    for _ in range(3):
        keeper.note(OVER)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_without_a_place_nothing_is_kept() -> None:
    keeper = ScrubKeeper(None)
    keeper.note(OVER)
    assert keeper.last is None
