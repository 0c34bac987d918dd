"""Every input that is kept is played again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz import corpus_files
from tests.fuzz.entries import ENTRIES, close_houses

KEPT = corpus_files.kept()
MOST_BYTES = 100 * 1024


@pytest.fixture(autouse=True, scope="module")
def _houses_end() -> Iterator[None]:
    yield
    close_houses()


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_replay(path: Path) -> None:
    ENTRIES[path.parent.name](corpus_files.read(path))


def test_the_corpus_is_small_and_covers_every_entry() -> None:
    assert {path.parent.name for path in KEPT} == ENTRIES.keys()
    assert sum(path.stat().st_size for path in KEPT) < MOST_BYTES


def test_files_read_as_they_were_written(tmp_path: Path) -> None:
    data = bytes(range(200))
    path = corpus_files.write(tmp_path, data, "two lines\nof remarks")
    assert corpus_files.read(path) == data
