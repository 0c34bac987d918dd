"""What the log says of a volume."""

import logging
from collections.abc import Callable

import pytest

from twinlock.block.mirror.scrub_status import ScrubState, ScrubStatus
from twinlock.errors import DeviceError, MediumError
from twinlock.server.news import News

CLEAN = ScrubStatus(state=ScrubState.FINISHED, checked=1 << 30)
FOUND = ScrubStatus(state=ScrubState.FINISHED, checked=1 << 30, wrong=3, repaired=2, lost=1)
ONE_OF_EACH = ScrubStatus(
    state=ScrubState.FINISHED, checked=4096, unreadable=1, wrong=1, mismatches=1, lost=1, records=1
)
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
            ONE_OF_EACH,
            logging.WARNING,
            "volume backup: scrub finished: 4.0 KiB checked, 1 block unreadable, 1 block wrong, "
            "1 block that differs, 1 lost, 1 block of records rewritten",
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


GONE = DeviceError("Input/output error", offset=4096)
EVENTS: list[tuple[Callable[[News], None], int, str]] = [
    (lambda news: news.member_failed(1, GONE), logging.ERROR, "member 1 failed and is out of the array: "),
    (
        lambda news: news.read_repaired(0, 4096, 512),
        logging.WARNING,
        "member 0 could not read 512 bytes at 4096",
    ),
    (lambda news: news.copies_differ(8192, 4096), logging.WARNING, "the members differ at 8192 (4096 bytes)"),
    (
        lambda news: news.record_rewritten(1, "bitmap"),
        logging.WARNING,
        "member 1: its bitmap on the medium was wrong; rewritten",
    ),
    (lambda news: news.space_exhausted(0, GONE), logging.ERROR, "there is no room under member 0: "),
    (lambda news: news.resync_progress(4096, 4096), logging.INFO, "resync of 4.0 KiB is complete"),
    (lambda news: news.resync_stalled(MediumError("x", offset=0)), logging.WARNING, "resync waits: "),
]


@pytest.mark.parametrize(("event", "level", "line"), EVENTS)
def test_whoever_reads_the_log_hears_of_it(
    caplog: pytest.LogCaptureFixture, event: Callable[[News], None], level: int, line: str
) -> None:
    """A failed member that nobody hears of is replaced when the second one fails."""
    caplog.set_level(logging.INFO)
    event(News("backup"))
    (record,) = caplog.records
    assert record.levelno == level
    assert record.getMessage().startswith("volume backup: ")
    assert line in record.getMessage()


def test_a_resync_under_way_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    News("backup").resync_progress(4096, 8192)
    assert caplog.records == []
