"""Which copy is the block: the table of ``verdict.py``, row by row."""

from typing import cast

import pytest

from twinlock.block.mirror.member import Member
from twinlock.block.mirror.verdict import BlockCopy, choose_copy
from twinlock.native.checksum import EMPTY, UNKNOWN, entries_of

SIDES = pytest.mark.parametrize("suspect", [False, True])


def copies(*told: str) -> list[BlockCopy]:
    """``"a=b"``: holds a, and its checksum is that of b; ``"a=?"``: unknown, ``"a=0"``: it holds nothing."""
    special = {"?": UNKNOWN, "0": EMPTY}
    return [
        BlockCopy(cast(Member, None), block(data), special.get(entry) or entries_of(block(entry)))
        for data, _, entry in (each.partition("=") for each in told)
    ]


def block(letter: str) -> bytes:
    return letter.encode() * 4096


def chosen(*told: str, suspect: bool) -> int | None:
    """Its index."""
    given = copies(*told)
    found = choose_copy(given, suspect=suspect)
    return next((number for number, copy in enumerate(given) if copy is found), None)


@SIDES
@pytest.mark.parametrize(
    ("told", "right"),
    [
        (("a=a", "b=b"), 0),
        (("a=x", "b=b"), 1),
        (("a=?", "b=b"), 1),
        (("a=0", "b=b"), 1),
        (("a=x", "b=?", "c=c"), 2),
        (("b=?", "a=b"), 0),
        (("a=?", "b=?", "c=b"), 1),
        (("a=b", "b=0"), 1),
        (("a=?", "b=?"), 0),
        (("a=0", "b=?"), 0),
        (("a=?",), 0),
        ((), None),
    ],
)
def test_what_a_checksum_proves_is_right_anywhere_and_without_any_the_preferred_one(
    told: tuple[str, ...], right: int | None, suspect: bool
) -> None:
    assert chosen(*told, suspect=suspect) == right


@pytest.mark.parametrize(
    ("told", "outside", "inside"),
    [
        (("a=x", "b=?"), None, 1),
        (("b=?", "a=x"), None, 0),
        (("a=x", "b=?", "c=0"), None, 1),
        (("a=x", "b=?", "a=?"), 2, 1),
        (("a=x", "a=0"), 1, 1),
        (("a=x", "b=y"), None, 0),
        (("a=x", "a=x"), None, 0),
        (("a=x",), None, 0),
    ],
)
def test_what_contradicts_is_rotten_or_cut_off_by_a_crash(
    told: tuple[str, ...], outside: int | None, inside: int
) -> None:
    assert chosen(*told, suspect=False) == outside
    assert chosen(*told, suspect=True) == inside
