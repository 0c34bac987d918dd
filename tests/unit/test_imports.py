"""The direction of imports, as docs/architecture.md draws it."""

import ast
from pathlib import Path

import pytest

import twinlock

SOURCE = Path(twinlock.__file__).parent
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "units": set(),
    "wire": {"errors", "units"},
    "native": {"errors", "units"},
    "iscsi": {"errors", "units", "wire", "native"},
    "scsi": {"errors", "units", "wire", "native"},
    "block": {"errors", "units", "wire", "native"},
    "luks": {"errors", "units", "wire", "native"},
    "server": {"errors", "units", "wire", "native", "iscsi", "scsi", "block", "luks"},
    "daemon": {"errors", "units", "wire", "native", "iscsi", "server"},
    "cli": {"errors", "units", "native", "server", "daemon"},
}
BELOW_SERVER = ("wire", "iscsi", "scsi", "block", "luks")
WORLDLY = {
    "threading": {"Lock", "RLock", "Condition", "local"},
    "time": set(),
    "random": set(),
    "secrets": set(),
    "socket": set(),
}
"""Modules that pure layers may not use, and the names of them that they may."""


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> list[tuple[str, str]]:
    """(module, name) of every import in a file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found += [(node.module or "", alias.name) for alias in node.names]
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_one_way(path: Path) -> None:
    here = room(path)
    if here == "__init__":
        return
    for module, _ in imported(path):
        parts = module.split(".")
        if parts[0] == "twinlock" and len(parts) > 1:
            assert parts[1] == here or parts[1] in ALLOWED[here], f"{here} imports {module}"


@pytest.mark.parametrize("path", [p for p in modules() if room(p) in BELOW_SERVER], ids=lambda p: p.name)
def test_below_server_there_is_no_clock_no_thread_no_socket(path: Path) -> None:
    used = {(module, name) for module, name in imported(path) if module in WORLDLY}
    source = path.read_text()
    for module, name in used:
        names = {name} if name else {word.split("(")[0] for word in _attributes(source, module)}
        assert names <= WORLDLY[module], f"{path.name} uses {module}: {names - WORLDLY[module]}"


def _attributes(source: str, module: str) -> set[str]:
    return {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == module
    }
