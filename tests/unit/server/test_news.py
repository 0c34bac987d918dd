"""What the log says of a volume."""

import logging

import pytest

from twinlock.block.mirror.scrub_status import ScrubState, ScrubStatus
from twinlock.server.news import News

CLEAN = ScrubStatus(state=ScrubState.FINISHED, checked=1 << 30)
FOUND = ScrubStatus(state=ScrubState.FINISHED, checked=1 << 30, wrong=3, repaired=2, lost=1)
FAILED = ScrubStatus(state=ScrubState.FAILED, checked=4096, reason="the disk is gone")


@pytest.mark.parametrize(
    ("status", "level", "line"),
    [
        (CLEAN, logging.INFO, "volume backup: scrub finished: 1.0 GiB checked, nothing found"),
        (
            FOUND,
            logging.WARNING,
            "volume backup: scrub finished: 1.0 GiB checked, 3 blocks wrong, 2 repaired, 1 lost",
        ),
        (
            FAILED,
            logging.WARNING,
            "volume backup: scrub failed: 4.0 KiB checked, nothing found; the disk is gone",
        ),
    ],
)
def test_the_end_of_a_scrub(
    caplog: pytest.LogCaptureFixture, status: ScrubStatus, level: int, line: str
) -> None:
    caplog.set_level(logging.INFO)
    News("backup").scrub_over(status)
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [(level, line)]


def test_rot_is_told_with_the_member_and_the_place(caplog: pytest.LogCaptureFixture) -> None:
    news = News("backup")
    news.checksum_wrong(1, 8192, 4096)
    news.block_lost(12288, 4096)
    assert "member 1 gave wrong data at 8192 (4096 bytes)" in caplog.messages[0]
    assert "4096 bytes at 12288 of the array cannot be had from any member" in caplog.messages[1]
    assert caplog.records[1].levelno == logging.ERROR
