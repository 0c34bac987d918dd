"""Starts the volumes once per process, and sums up in one line."""

from collections.abc import Iterator

import pytest

from tests.conformance.targets import Targets, serve


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--digests", action="store_true", help="run the suite with header and data digests")


@pytest.fixture(scope="session")
def targets(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Targets]:
    digests = bool(request.config.getoption("--digests"))
    with serve(tmp_path_factory.mktemp("conformance"), digests=digests) as running:
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """``N tests: P passed, F failed, S skipped``, of the suite's own tests."""
    count = {
        outcome: len(
            [each for each in terminalreporter.stats.get(outcome, ()) if "test_libiscsi[" in each.nodeid]
        )
        for outcome in ("passed", "failed", "error", "skipped")
    }
    failed = count["failed"] + count["error"]
    total = count["passed"] + failed + count["skipped"]
    if total:
        terminalreporter.write_line(
            f"{total} tests: {count['passed']} passed, {failed} failed, {count['skipped']} skipped"
        )
