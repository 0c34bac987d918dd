"""The configuration file: read strictly, written so that a person's comments stay.

An unknown key or a bad value is refused with file, line and reason.  Writing
replaces the file at once (a crash leaves the old or the new one, never half).
"""

import os
import re
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import BaseModel, ValidationError
from tomlkit.exceptions import ParseError, TOMLKitError

from twinlock.daemon.config_lines import locate
from twinlock.daemon.config_text import with_settings
from twinlock.daemon.settings import WORDS, Configuration, VolumeTable
from twinlock.errors import ConfigurationInvalid, FolderUnusable
from twinlock.server.durable import sync_folder

HEADER = """\
# twinlock's configuration. Edit it as you like: twinlock keeps your comments, and
# refuses to start with a line it does not understand. Secrets are not kept here.
"""


class ConfigurationFile:
    """The file itself."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Configuration:
        """Read and check it; a missing file is an empty one.  Raises ConfigurationInvalid."""
        return self._parse(self._text())

    def _parse(self, text: str) -> Configuration:
        try:
            document = tomlkit.parse(text)
        except ParseError as error:
            raise ConfigurationInvalid(file=self.path, line=error.line, reason=_reason(error)) from error
        except TOMLKitError as error:
            raise ConfigurationInvalid(file=self.path, line=1, reason=error) from error
        try:
            configuration = Configuration.model_validate(document.unwrap())
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ConfigurationInvalid(
                file=self.path, line=locate(text, first["loc"]), reason=_explain(dict(first))
            ) from error
        self._check_unique(configuration, text)
        return configuration

    def add(self, volume: VolumeTable) -> None:
        """Append a ``[[volume]]``; the rest of the file stays as it is.  Raises ConfigurationInvalid."""
        self._write(self.extended(volume))

    def extended(self, volume: VolumeTable) -> str:
        """The file's text with a ``[[volume]]`` more; raises ConfigurationInvalid if that would be none."""
        self.load()
        table = tomlkit.document()
        for key, value in volume.model_dump(mode="json", exclude_defaults=True).items():
            table.add(key, value)
        before = self._text() or HEADER
        text = f"{before.rstrip()}\n\n[[volume]]\n{tomlkit.dumps(table)}"
        self._parse(text)
        return text

    def find(self, name: str) -> int:
        """Which of the volumes has that name; raises ConfigurationInvalid if someone took it out by hand."""
        names = [volume.name for volume in self.load().volume]
        if name not in names:
            raise ConfigurationInvalid(file=self.path, line=1, reason=f"there is no volume {name!r} any more")
        return names.index(name)

    def change(self, name: str, settings: Mapping[str, Any]) -> None:
        """Set what ``settings`` says of a volume, None: as without a word; comments stay.

        Raises ConfigurationInvalid, FolderUnusable.
        """
        index = self.find(name)
        self._change(("volume", index), self.load().volume[index], settings)

    def change_server(self, settings: Mapping[str, Any]) -> None:
        """Set what ``settings`` says of ``[server]``; comments stay.  Raises ConfigurationInvalid."""
        self._change(("server",), self.load().server, settings)

    def _change(self, path: tuple[str | int, ...], table: BaseModel, settings: Mapping[str, Any]) -> None:
        before = table.model_dump(mode="json")
        others = {key: value for key, value in settings.items() if before[key] != value}
        if others:
            text = with_settings(self._text() or HEADER, path, others)
            self._parse(text)
            self._write(text)

    def _write(self, text: str) -> None:
        write_whole(self.path, text, self._mode())

    def _mode(self) -> int:
        try:
            return stat.S_IMODE(self.path.stat().st_mode)
        except FileNotFoundError:
            return 0o644

    def _text(self) -> str:
        try:
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationInvalid(
                file=self.path, line=1, reason=f"it cannot be read ({error})"
            ) from error

    def _check_unique(self, configuration: Configuration, text: str) -> None:
        for field in ("name", "target_name"):
            seen: set[str] = set()
            for index, volume in enumerate(configuration.volume):
                value = getattr(volume, field)
                if value in seen:
                    line = locate(text, ("volume", index))
                    raise ConfigurationInvalid(
                        file=self.path, line=line, reason=f"two volumes are called {value}"
                    )
                seen.add(value)


def write_whole(path: Path, text: str, mode: int) -> None:
    """Replace a file durably, all or nothing; it has ``mode`` from its first moment.

    Raises FolderUnusable, with the file as it was.
    """
    try:
        _replace(path, text, mode)
    except OSError as error:
        raise FolderUnusable(folder=path.parent, reason=error.strerror) from error


def _replace(path: Path, text: str, mode: int) -> None:
    path = path.resolve()  # what a link leads to is replaced, not the link
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _reason(error: ParseError) -> str:
    cause = re.sub(r" at line \d+ col \d+$", "", str(error)).rstrip(".").lower()
    return f"this line is not finished, or is no TOML ({cause})"


def _explain(error: dict[str, Any]) -> str:
    key = next((str(part) for part in reversed(error["loc"]) if isinstance(part, str)), "")
    if error["type"] == "extra_forbidden":
        return f"there is no setting {key!r}"
    words = WORDS.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    return f"{key}: {words}" if key else words
