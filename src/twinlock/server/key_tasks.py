"""Tasks on the keys of a volume and on its container's header (see :mod:`twinlock.server.tasks`).

``secret`` is a passphrase or the content of a key file: to LUKS both are bytes.
"""

from typing import Literal

from twinlock.server.message import Bytes, Message, Passphrase
from twinlock.units import MIB

LONGEST_KEY = 8 * MIB
"""Bytes of the longest key file that cryptsetup reads unless told otherwise."""
LONGEST_ITER_TIME = 600_000
"""Milliseconds that trying a passphrase may take: ten minutes, each time, for whoever unlocks."""


class KeyList(Message):
    """Which keys open the volume?  Answered with :class:`KeysResult`."""

    task: Literal["key-list"] = "key-list"


class KeyAdd(Message):
    """Another key, for whoever knows one.  Answered with :class:`KeyResult`.

    ``iter_time``: milliseconds that trying a passphrase shall take; None: libcryptsetup's 2000.
    """

    task: Literal["key-add"] = "key-add"
    secret: Passphrase
    new_secret: Passphrase
    new_is_file: bool = False
    iter_time: int | None = None


class KeyChange(Message):
    """Another secret in place of ``secret``.  Answered with :class:`KeyResult`."""

    task: Literal["key-change"] = "key-change"
    secret: Passphrase
    new_secret: Passphrase
    new_is_file: bool = False
    iter_time: int | None = None


class KeyRemove(Message):
    """Without the key of that number.  Answered with :class:`KeyResult`."""

    task: Literal["key-remove"] = "key-remove"
    number: int
    force: bool = False


class KeyTest(Message):
    """Which keyslot opens with ``secret``?  Answered with :class:`KeyResult`; nothing is changed."""

    task: Literal["key-test"] = "key-test"
    secret: Passphrase
    number: int | None = None


class HeaderList(Message):
    """Which backups of the header are kept?  Answered with :class:`HeadersResult`."""

    task: Literal["header-list"] = "header-list"


class HeaderBackup(Message):
    """Keep a backup of the header as it is now.  Answered with :class:`HeadersResult`: that one alone."""

    task: Literal["header-backup"] = "header-backup"


class HeaderRestore(Message):
    """Put back what a backup holds, its keys included.  Answered with :class:`HeaderResult`."""

    task: Literal["header-restore"] = "header-restore"
    content: Bytes
    source: str
    """What the content is called, for messages."""
    force: bool = False


class HeaderForget(Message):
    """Delete the backups of these names (none: all), and keep one of the header as it is now.

    Answered with :class:`HeadersResult`: what is kept then.
    """

    task: Literal["header-forget"] = "header-forget"
    names: tuple[str, ...] = ()


class KeyFacts(Message):
    """One keyslot.  ``memory`` in bytes; ``since`` in seconds since 1970, None if it is not known."""

    number: int
    kind: str
    """"passphrase", "key file" or "unknown"."""
    since: int | None
    kdf: str
    iterations: int
    memory: int
    threads: int
    fits: bool
    """Whether this machine has the memory for it now."""
    bound: bool
    """False: it holds another key than the one of the volume's data."""
    ignored: bool = False
    """Of priority ``ignore``: no unlock tries it."""
    tokens: tuple[str, ...]
    """Types of tokens, not twinlock's, that unlock with it."""


class KeysResult(Message):
    """The keys of a volume; ``backups`` is how many backups of its header are kept."""

    members: None = None
    version: int
    uuid: str
    places: int
    knows_kinds: bool
    backups: int
    keys: tuple[KeyFacts, ...]


class KeyResult(Message):
    """What came of a task on one key; ``backups``: as in :class:`KeysResult`."""

    members: None = None
    number: int
    kind: str
    remarks: tuple[str, ...] = ()
    backups: int = 0


class KeptHeader(Message):
    """A backup of the header.  ``size`` in bytes, as a file of it has; ``keys`` that open with it."""

    name: str
    path: str
    size: int
    keys: tuple[int, ...]
    reason: str | None = None
    """Why it cannot be used, if so."""


class HeadersResult(Message):
    """Backups of the header, the oldest first."""

    members: None = None
    kept: tuple[KeptHeader, ...]


class HeaderResult(Message):
    """The header that was put back; ``before`` is where the one that was there is kept."""

    members: None = None
    uuid: str
    keys: tuple[int, ...]
    before: str
