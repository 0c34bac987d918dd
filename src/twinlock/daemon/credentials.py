"""CHAP users and secrets: made here, one file of mode 0600 per volume, apart from the configuration."""

import secrets
import string
import tomllib
from pathlib import Path

import tomlkit
from pydantic import SecretStr, ValidationError

from twinlock.daemon.config import write_whole
from twinlock.errors import ChapSecretUnusable, ConfigurationInvalid
from twinlock.server.messages import Chap

SECRET_LENGTH = 16
"""Windows takes 12 to 16 characters; 16 of 62 letters hold 95.3 of the 96 bits that RFC 7143 9.2.1 wants."""
_LETTERS = string.ascii_letters + string.digits
MIN_SECRET, MAX_SECRET = 12, 16


class Credentials:
    """The secrets of every volume."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self, volume: str) -> Chap:
        """A new user (named as the volume) and secret, kept before they are returned."""
        chap = Chap(
            user=volume, secret=SecretStr("".join(secrets.choice(_LETTERS) for _ in range(SECRET_LENGTH)))
        )
        self.store(volume, chap)
        return chap

    def store(self, volume: str, chap: Chap) -> None:
        """Keep the credentials of a volume; raises ChapSecretUnusable."""
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

    def user(self, volume: str) -> str | None:
        """The CHAP user of a volume, if it can be told; never fails, never writes."""
        try:
            return str(tomllib.loads(self.path(volume).read_text(encoding="utf-8"))["user"])
        except (OSError, ValueError, KeyError):
            return None

    def discard(self, volume: str) -> None:
        """Forget the credentials of a volume."""
        self.path(volume).unlink(missing_ok=True)

    def path(self, volume: str) -> Path:
        """The file that holds the credentials of a volume."""
        return self._folder / f"{volume}.toml"


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
