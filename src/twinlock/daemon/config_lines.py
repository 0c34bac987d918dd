"""On which line of a TOML file a setting stands; the parser does not say."""

import re
from collections.abc import Sequence

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\]]+?)\s*\]\]?")
_KEY = re.compile(r"""\s*(?:"([^"]+)"|'([^']+)'|([A-Za-z0-9_-]+))\s*[=.]""")


def locate(text: str, path: Sequence[str | int]) -> int:
    """The line (from 1) of the setting at ``path``, such as ``("volume", 1, "name")``.

    If the setting has no line of its own (it is missing, or inside a longer value), its table's.
    """
    wanted = list(path)
    best, best_depth = 1, 0
    for number, here in _settings(text):
        depth = len(here) if here == wanted[: len(here)] else 0
        if depth > best_depth:
            best, best_depth = number, depth
    return best


def _settings(text: str) -> list[tuple[int, list[str | int]]]:
    """Each line that begins a table or sets a key, with its path."""
    found: list[tuple[int, list[str | int]]] = []
    table: list[str | int] = []
    counts: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = _table_path(header[2], header[1] == "[[", counts)
            found.append((number, table))
        elif key := _KEY.match(line):
            found.append((number, [*table, key[1] or key[2] or key[3]]))
    return found


def _table_path(name: str, is_array: bool, counts: dict[str, int]) -> list[str | int]:
    """The path of a table's header; a table below an array belongs to the array's last element."""
    if is_array:
        counts[name] = counts.get(name, -1) + 1
    path: list[str | int] = []
    for part in name.split("."):
        path.append(part.strip().strip("\"'"))
        if len(path) == 1 and path[0] in counts:
            path.append(counts[str(path[0])])
    return path
