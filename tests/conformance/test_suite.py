"""Every test of libiscsi's conformance suite, against encrypted, mirrored volumes behind CHAP."""

import pytest

from tests.conformance import skips, suite
from tests.conformance.suite import Verdict
from tests.conformance.targets import Targets


@pytest.mark.parametrize("name", suite.names())
def test_libiscsi(targets: Targets, name: str) -> None:
    targets.prepare(name)
    outcome = suite.run(name, targets.urls(name), targets.environ(name))
    allowed = skips.reason(name)
    if outcome.verdict is Verdict.SKIPPED and allowed is not None:
        pytest.skip(allowed)
    assert outcome.verdict is Verdict.PASSED, f"{outcome.verdict}: {outcome.reason}"
    assert allowed is None, f"this test no longer needs to be skipped ({allowed})"
