"""The tree of errors: each its own exit code and a sentence that says what to do."""

import re
import string
from pathlib import Path

import pytest

from scripts.write_errors import PAGE, page
from twinlock.errors import TwinlockError, rebuild

KINDS = TwinlockError.__subclasses__()


def fields(kind: type[TwinlockError]) -> dict[str, object]:
    return {name: f"<{name}>" for _, name, _, _ in string.Formatter().parse(kind.sentence) if name}


def test_exit_codes_are_distinct() -> None:
    codes = [kind.exit_code for kind in KINDS]
    assert len(set(codes)) == len(codes)
    assert not {0, 1, 2} & set(codes), "0 is success, 1 Python's, 2 the option parser's"
    assert all(code < 126 for code in codes), "from 126 on they are the shell's"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_survives_a_socket(kind: type[TwinlockError]) -> None:
    error = kind(**fields(kind))
    again = rebuild(error.describe())
    assert type(again) is kind
    assert str(again) == str(error)
    assert all(str(value) in str(error) for value in fields(kind).values())


def test_the_page_of_errors_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run scripts/write_errors.py"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_is_raised_by_some_test(kind: type[TwinlockError]) -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parents[1].rglob("test_*.py"))
    name = kind.__name__
    assert re.search(rf"raises\([^)]*\b{name}\b|errors\.{name}\b|, {name}\)|except {name}\b", tests)
