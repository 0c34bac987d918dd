"""Portals on the command line."""

import pytest

from twinlock.cli.commands.serve import portals
from twinlock.errors import BadOption
from twinlock.server.portal import Portal


def test_portals_as_written() -> None:
    assert portals(["10.0.0.5", "[fd00::5]:3261"]) == [Portal("10.0.0.5", 3260), Portal("fd00::5", 3261)]
    assert portals(None) is None


@pytest.mark.parametrize("wrong", [["localhost"], ["10.0.0.5", "10.0.0.5:3260"], ["0.0.0.0", "[::]"]])
def test_portals_that_cannot_be_meant(wrong: list[str]) -> None:
    with pytest.raises(BadOption, match="--portal"):
        portals(wrong)
