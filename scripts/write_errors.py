"""Writes docs/errors.md from the tree of errors."""

from pathlib import Path

from twinlock.errors import TwinlockError

PAGE = Path(__file__).parents[1] / "docs" / "errors.md"
HEAD = """\
# Errors

Every error is one sentence on standard error and an exit code of its own. What is refused is
refused before anything is changed. Exit code 0 is success, 1 a prompt that was left, 2 a command
line that was not understood, 130 an interruption.

| exit code | error | meaning | sentence |
|---|---|---|---|
"""


def page() -> str:
    """The page, from the classes in ``twinlock.errors``."""
    kinds = sorted(TwinlockError.__subclasses__(), key=lambda kind: kind.exit_code)
    return HEAD + "".join(map(_row, kinds))


def _row(kind: type[TwinlockError]) -> str:
    meaning = " ".join((kind.__doc__ or "").split())
    return f"| {kind.exit_code} | {kind.__name__} | {meaning} | {kind.sentence} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
