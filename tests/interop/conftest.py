"""One daemon for all tests of a module that do not take it down."""

from collections.abc import Iterator

import pytest

from tests.interop.matrix import Volumes


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Volumes]:
    """A running daemon, and the volumes that were asked for."""
    made = Volumes(tmp_path_factory.mktemp("volumes"))
    with made.daemon:
        yield made
