"""The configuration file: read strictly, written so that a person's comments stay.

An unknown key or a bad value is refused with file, line and reason.  Writing
replaces the file at once (a crash leaves the old or the new one, never half).
"""

import os
import re
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import tomlkit
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
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


def _valid(check: Any) -> AfterValidator:
    def validate(value: Any) -> Any:
        try:
            check(value)
        except TwinlockError as error:
            raise ValueError(str(error)) from error
        return value

    return AfterValidator(validate)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerTable(_Table):
    """``[server]``."""

    portals: tuple[Annotated[str, _valid(Portal.parse)], ...] = (DEFAULT_PORTAL,)


class VolumeTable(_Table):
    """One ``[[volume]]``."""

    name: Annotated[str, _valid(check_name)]
    members: Annotated[tuple[str, ...], Field(min_length=1)]
    array: UUID | None = None
    target: Annotated[str, _valid(check_target)] | None = None
    chap: bool = True
    encrypted: bool = True
    block_size: Literal[512, 4096] | None = None

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
        text = self._text()
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
        """Append a ``[[volume]]``; the rest of the file stays as it is."""
        document = tomlkit.parse(self._text() or HEADER)
        table = tomlkit.table()
        document.add(tomlkit.nl())
        for key, value in volume.model_dump(mode="json", exclude_defaults=True).items():
            table.add(key, value)
        volumes = document.setdefault("volume", tomlkit.aot())
        volumes.append(table)
        write_whole(self.path, tomlkit.dumps(document), 0o644)

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
    message = error["msg"].removeprefix("Value error, ")
    return f"{key}: {message[0].lower()}{message[1:]}"
