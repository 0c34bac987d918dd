"""CHAP users and secrets: made here, one file of mode 0600 per volume, apart from the configuration.

Discovery has a file of its own, under a name that no volume can have.
"""

import secrets
import string
import tomllib
from pathlib import Path

import tomlkit
from pydantic import SecretStr, ValidationError

from twinlock.daemon.config import write_whole
from twinlock.errors import ChapSecretUnusable, ConfigurationInvalid
from twinlock.server.messages import Chap

DISCOVERY = "_discovery"
"""In the place of a volume's name: who may ask which targets there are."""
MUTUAL_USER = "twinlock"
"""What the target calls itself when it proves in turn who it is."""
SECRET_LENGTH = 16
"""Windows takes 12 to 16 characters; 16 of 62 letters hold 95.3 of the 96 bits that RFC 7143 9.2.1 wants."""
_LETTERS = string.ascii_letters + string.digits
MIN_SECRET, MAX_SECRET = 12, 16


class Credentials:
    """The secrets of every volume, and of discovery."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self, volume: str, *, mutual: bool = False) -> Chap:
        """New secrets, kept before they are returned; a user that was there keeps its name."""
        chap = Chap(user=self.user(volume) or volume.strip("_"), secret=_secret())
        self.store(volume, _with_pair(chap) if mutual else chap)
        return self.load(volume)

    def change(self, volume: str, *, mutual: bool) -> Chap:
        """The same with or without the second pair; what is there already stays."""
        chap = self.load(volume)
        if mutual and chap.mutual_secret is None:
            self.store(volume, _with_pair(chap))
        elif not mutual and chap.mutual_secret is not None:
            self.store(volume, chap.model_copy(update={"mutual_user": None, "mutual_secret": None}))
        return self.load(volume)

    def store(self, volume: str, chap: Chap) -> None:
        """Keep the credentials of a volume; raises ChapSecretUnusable, FolderUnusable."""
        check(chap)
        write_whole(self.path(volume), tomlkit.dumps(chap.model_dump(mode="json", exclude_none=True)), 0o600)

    def load(self, volume: str) -> Chap:
        """The credentials of a volume, made now if there are none; raises ConfigurationInvalid."""
        path = self.path(volume)
        try:
            chap = Chap.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
            check(chap)
        except FileNotFoundError:
            return self.make(volume)
        except (ValidationError, ChapSecretUnusable, tomllib.TOMLDecodeError, UnicodeDecodeError, OSError):
            # The cause could quote the secret, so it is not chained.
            raise ConfigurationInvalid(
                file=path,
                line=1,
                reason=f"it must hold user and secret ({MIN_SECRET} to {MAX_SECRET} characters)",
            ) from None
        return chap

    def check_kept(self, volume: str) -> None:
        """Raise ConfigurationInvalid if there are credentials that cannot be read; none is no error."""
        if self.path(volume).exists():
            self.load(volume)

    def user(self, volume: str) -> str | None:
        """The CHAP user of a volume, if it can be told; never fails, never writes."""
        return self._told(volume, "user")

    def mutual_user(self, volume: str) -> str | None:
        """As :meth:`user`: the name by which the target proves itself, None if it does not."""
        return self._told(volume, "mutual_user")

    def _told(self, volume: str, key: str) -> str | None:
        try:
            return str(tomllib.loads(self.path(volume).read_text(encoding="utf-8"))[key])
        except (OSError, ValueError, KeyError):
            return None

    def discard(self, volume: str) -> None:
        """Forget the credentials of a volume."""
        self.path(volume).unlink(missing_ok=True)

    def path(self, volume: str) -> Path:
        """The file that holds the credentials of a volume."""
        return self._folder / f"{volume}.toml"


def _secret() -> SecretStr:
    return SecretStr("".join(secrets.choice(_LETTERS) for _ in range(SECRET_LENGTH)))


def _with_pair(chap: Chap) -> Chap:
    return chap.model_copy(update={"mutual_user": MUTUAL_USER, "mutual_secret": _secret()})


def check(chap: Chap) -> None:
    """Raise ChapSecretUnusable unless every initiator takes these."""
    secret = chap.secret.get_secret_value()
    mutual = chap.mutual_secret.get_secret_value() if chap.mutual_secret else None
    for value in filter(None, (secret, mutual)):
        if not MIN_SECRET <= len(value) <= MAX_SECRET:
            raise ChapSecretUnusable(what="secret", reason=f"use {MIN_SECRET} to {MAX_SECRET} characters")
    if secret == mutual:
        raise ChapSecretUnusable(what="secret", reason="the two directions need different secrets")
    if (chap.mutual_user is None) != (mutual is None):
        raise ChapSecretUnusable(what="user", reason="mutual CHAP needs both a user and a secret")
    if not chap.user or (mutual and not chap.mutual_user):
        raise ChapSecretUnusable(what="user", reason="it is empty")
