"""The page for readers says exactly which tests may be skipped, and why."""

import re
from collections import Counter
from pathlib import Path

from tests.conformance import skips, suite

PAGE = Path(__file__).parents[2] / "docs/conformance.md"
ROW = re.compile(r"^\| (\w+) \| (\d+) \| (.+) \|$", re.MULTILINE)


def test_the_page_lists_the_skips_and_their_reasons() -> None:
    counted = Counter(name.partition(".")[0] for name in suite.names())
    expected = {(name, str(counted[name]), reason) for name, reason in skips.SKIPPED_SUITES.items()}
    section = PAGE.read_text(encoding="utf-8").partition("## libiscsi's conformance suite")[2]
    assert set(ROW.findall(section)) == expected


def test_the_judge_believes_no_summary_that_hides_a_skip() -> None:
    summary = "  tests      1      1      {}      {}        0\n"
    passed, failed = summary.format(1, 0), summary.format(0, 1)
    assert suite.judge(passed).verdict is suite.Verdict.PASSED
    assert suite.judge(failed).verdict is suite.Verdict.FAILED
    assert suite.judge("no summary").verdict is suite.Verdict.FAILED
    hidden = suite.judge("    [SKIPPED] COPY is not implemented.\npassed\n" + passed)
    assert hidden == suite.Outcome(suite.Verdict.SKIPPED, "COPY is not implemented.")
