"""Entries that go wrong on purpose: what a campaign must notice."""

import itertools
import os
import time

from tests.fuzz.entries import Tally
from tests.fuzz.oracle.rules import Leaked

_numbers = itertools.count()
_hoard: list[bytes] = []


def well(_data: bytes) -> Tally:
    return Tally(10, 1)


def raises(_data: bytes) -> Tally:
    if next(_numbers) == 2:
        raise KeyError("an exception that is not the protocol's")
    return Tally(10, 1)


def hangs(_data: bytes) -> Tally:
    if next(_numbers) == 2:
        time.sleep(600)
    return Tally(10, 1)


def dies(_data: bytes) -> Tally:
    if next(_numbers) == 2:
        os.abort()
    return Tally(10, 1)


def leaks(_data: bytes) -> Tally:
    if next(_numbers) == 2:
        raise Leaked("a session")
    return Tally(10, 1)


def grows(_data: bytes) -> Tally:
    _hoard.append(bytes(range(256)) * (1 << 16))
    return Tally(10, 1)
