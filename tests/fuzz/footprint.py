"""How much an object of the target's holds: the entries of all its tables, however deep."""

from collections import deque
from collections.abc import Collection, Iterator
from enum import Enum
from types import FunctionType, MethodType, ModuleType
from typing import Any

_CONTAINERS = (dict, list, set, frozenset, tuple, deque)
_LEAVES = (str, bytes, int, float, bool, type(None), type, Enum, FunctionType, ModuleType)


def entries(root: object) -> int:
    """Entries of every container, and bytes (by the 512) of every buffer, that ``root`` leads to."""
    seen: set[int] = set()
    total, waiting = 0, [root]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, _LEAVES):
            continue
        seen.add(id(each))
        if isinstance(each, bytearray | memoryview):
            total += len(each) // 512
            continue
        if isinstance(each, _CONTAINERS):
            total += len(each)
        waiting += _parts(each)
    return total


def _parts(each: Any) -> Collection[object]:
    if isinstance(each, dict):
        return [*each.keys(), *each.values()]
    if isinstance(each, _CONTAINERS):
        return list(each)
    if isinstance(each, MethodType):
        return [each.__self__]
    return list(_attributes(each)) if type(each).__module__.startswith("twinlock.") else ()


def _attributes(each: Any) -> Iterator[object]:
    yield from getattr(each, "__dict__", {}).values()
    for kind in type(each).__mro__:
        for name in getattr(kind, "__slots__", ()):
            if hasattr(each, name):
                yield getattr(each, name)
