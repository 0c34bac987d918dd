"""Settings changed inside the text of a TOML file that a person also edits.

tomlkit keeps comments where a value is replaced.  A new key it would append behind the
comments that stand before the *next* table, so new keys get their line here.
"""

from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.items import AbstractTable, Item, Table

from twinlock.daemon.config_lines import locate


def with_settings(text: str, path: tuple[str | int, ...], settings: Mapping[str, Any]) -> str:
    """The text with ``settings`` in the table at ``path`` (``("volume", 1)``), everything else as it was.

    What is None is taken out.
    """
    document = tomlkit.parse(text)
    if path == ("server",) and "server" not in document:
        return _with_server(text, settings)
    table: Any = document
    for part in path:
        table = table[part]
    known = {key: value for key, value in settings.items() if key in table}
    for key, value in known.items():
        if value is None:
            table.remove(key)
        else:
            table[key] = value
    new = {key: value for key, value in settings.items() if key not in known and value is not None}
    if not isinstance(table, Table):  # an inline table: { name = "backup", ... }
        table.update(new)
        new = {}
    return _inserted(tomlkit.dumps(document), path, table, new)


def _with_server(text: str, settings: Mapping[str, Any]) -> str:
    """At the end: what stands there belongs to the tables before."""
    return f"{text.rstrip()}\n\n[server]\n{_lines(settings)}".lstrip()


def _inserted(text: str, path: tuple[str | int, ...], table: AbstractTable, new: Mapping[str, Any]) -> str:
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    lines.insert(_end_of(text, path, table), _lines(new))
    return "".join(lines)


def _end_of(text: str, path: tuple[str | int, ...], table: AbstractTable) -> int:
    """The number of the line on which the last setting of a table ends, or that of its header."""
    keys = list(table)
    if not keys:
        return locate(text, path)
    item = table.value.item(keys[-1])
    return locate(text, (*path, keys[-1])) + (item.as_string().count("\n") if isinstance(item, Item) else 0)


def _lines(settings: Mapping[str, Any]) -> str:
    return tomlkit.dumps(dict(settings))
