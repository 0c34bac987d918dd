"""The configuration file: read strictly, written so that a person's comments stay.

An unknown key or a bad value is refused with file, line and reason.  Writing
replaces the file at once (a crash leaves the old or the new one, never half).
"""

import os
import re
import stat
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from uuid import UUID

import tomlkit
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    model_validator,
)
from tomlkit.exceptions import ParseError, TOMLKitError

from twinlock.daemon.config_lines import locate
from twinlock.errors import ConfigurationInvalid, NameInvalid, TargetNameInvalid, TwinlockError
from twinlock.server.portal import Portal

DEFAULT_PORTAL = "[::]:3260"
TARGET_PREFIX = "iqn.2026-11.io.twinlock:"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_TARGET = re.compile(
    r"(iqn\.\d{4}-(0[1-9]|1[0-2])\.[a-z0-9.-]+(:[a-z0-9.:_-]+)?|eui\.[0-9a-f]{16}|naa\.([0-9a-f]{16}){1,2})"
)

_WORDS = {
    "missing": "it is missing",
    "tuple_type": 'it is a list, such as ["/dev/sdb", "/dev/sdc"]',
    "too_short": "it needs at least one",
    "too_long": "two are the most",
    "bool_type": "it is true or false",
    "string_type": "it is text, in quotes",
    "literal_error": "it is 512 or 4096",
    "uuid_parsing": "it is no UUID",
    "model_type": "it is a table; write [server], or [[volume]] for each volume",
    "float_parsing": "it is a number of seconds",
    "greater_than_equal": "it is at least 1",
    "less_than_equal": "it is at most 600",
}
"""What pydantic's kinds of error mean to a person."""

HEADER = """\
# twinlock's configuration. Edit it as you like: twinlock keeps your comments, and
# refuses to start with a line it does not understand. Secrets are not kept here.
"""


def check_name(name: str) -> str:
    """The name, if a volume may have it; raises NameInvalid."""
    if not _NAME.fullmatch(name):
        raise NameInvalid(name=name)
    return name


def check_target(name: str) -> str:
    """The target name, if iSCSI allows it (RFC 7143 section 4.2.7); raises TargetNameInvalid."""
    if len(name) > 223 or not _TARGET.fullmatch(name):
        raise TargetNameInvalid(
            name=name, reason="write it like iqn.2026-11.net.example:backup, in lower case"
        )
    return name


def check_path(path: str) -> str:
    """The path of a member, if it means the same from everywhere; raises ValueError."""
    if not os.path.isabs(path):
        raise ValueError(f"{path!r} does not begin with /")
    return path


def check_different(paths: tuple[str, ...]) -> tuple[str, ...]:
    """The members' paths, if they differ; raises ValueError."""
    if len(set(paths)) < len(paths):
        raise ValueError("the members must be different")
    return paths


def _valid(check: Any) -> AfterValidator:
    def validate(value: Any) -> Any:
        try:
            check(value)
        except TwinlockError as error:
            raise ValueError(str(error)) from error
        return value

    return AfterValidator(validate)


_Path = Annotated[str, _valid(check_path)]
_Portal = Annotated[str, _valid(Portal.parse)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerTable(_Table):
    """``[server]``."""

    portals: Annotated[tuple[_Portal, ...], Field(min_length=1)] = (DEFAULT_PORTAL,)
    patience: Annotated[float, Field(ge=1, le=600)] = 10.0


class VolumeTable(_Table):
    """One ``[[volume]]``."""

    name: Annotated[str, _valid(check_name)]
    members: Annotated[tuple[_Path, ...], Field(min_length=1, max_length=2), _valid(check_different)]
    array: UUID | None = None
    target: Annotated[str, _valid(check_target)] | None = None
    chap: StrictBool = True
    encrypted: StrictBool = True
    block_size: Literal[512, 4096] | None = None

    @model_validator(mode="after")
    def _container_tells(self) -> Self:
        if self.encrypted and self.block_size is not None:
            raise ValueError("block_size is only for volumes without encryption; else the container tells it")
        return self

    @property
    def target_name(self) -> str:
        """The iSCSI name, given or made from the volume's."""
        return self.target or TARGET_PREFIX + self.name


class Configuration(_Table):
    """The whole file."""

    server: ServerTable = ServerTable()
    volume: tuple[VolumeTable, ...] = ()

    def find(self, name: str) -> VolumeTable | None:
        """The volume of that name."""
        return next((volume for volume in self.volume if volume.name == name), None)


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
        write_whole(self.path, self.extended(volume), self._mode())

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
    """Replace a file durably, all or nothing; it has ``mode`` from its first moment."""
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
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _reason(error: ParseError) -> str:
    cause = re.sub(r" at line \d+ col \d+$", "", str(error)).rstrip(".").lower()
    return f"this line is not finished, or is no TOML ({cause})"


def _explain(error: dict[str, Any]) -> str:
    key = next((str(part) for part in reversed(error["loc"]) if isinstance(part, str)), "")
    if error["type"] == "extra_forbidden":
        return f"there is no setting {key!r}"
    words = _WORDS.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    return f"{key}: {words}" if key else words
