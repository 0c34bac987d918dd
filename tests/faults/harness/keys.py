"""A container on the array: what its keys are, told from what was done, and what a crash may leave."""

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from random import Random

from tests.faults.harness.oracle import Illegal
from twinlock.block.crypt import CryptDevice
from twinlock.block.mirror.mirror import Mirror
from twinlock.errors import WrongPassphrase
from twinlock.luks.backup import backup_of, restored
from twinlock.luks.container import FormattedContainer, format_container, unlock_container
from twinlock.luks.copies import whole_copies
from twinlock.luks.device import Cost
from twinlock.luks.keyslots import add_key, change_key, opening_slot, remove_key
from twinlock.luks.kinds import Kind, Note
from twinlock.luks.opening import Attempt
from twinlock.native import SectorCipher
from twinlock.server.container_header import change_header, read_leniently, replace_header, settle_header
from twinlock.server.header_store import HeaderStore

CHEAP = Cost(0)
FIRST = b"key 0"
MOST = 4
"""Keys of one container."""
_NOTE = Note(Kind.PASSPHRASE, 1000)
_ATTEMPT = Attempt("v")
_COPY, _JSON, _SEQUENCE = 16384, 4096, slice(16, 24)
"""LUKS2 on-disk format, section 2: a copy has 16 KiB here, its JSON begins at 4096."""


@lru_cache
def new_container(array_size: int, sector_size: int) -> FormattedContainer:
    """One that :data:`FIRST` opens; the same for all lives of a process."""
    return format_container(size=array_size, sector_size=sector_size, passphrase=FIRST, iter_time_ms=0)


@lru_cache(256)
def slot_of(header: bytes, array_size: int, secret: bytes) -> int | None:
    """The keyslot that the key opens; None if it opens none."""
    try:
        return opening_slot(header, array_size=array_size, secret=secret, attempt=_ATTEMPT)
    except WrongPassphrase:
        return None


@dataclass
class Keyring:
    """``now``: the keys that open; ``next``: those that do after the change that is under way."""

    now: frozenset[bytes] = frozenset([FIRST])
    next: frozenset[bytes] | None = None
    made: int = 0

    def begins(self, keys: frozenset[bytes]) -> None:
        """A change that may come to nothing."""
        self.next = keys

    def ended(self) -> None:
        """It returned well."""
        self.now, self.next = self.next or self.now, None

    def judge(self, header: bytes, array_size: int) -> bytes:
        """The keys are those of before or those of after; one that opens."""
        legal = [self.now] if self.next is None else [self.now, self.next]
        asked = frozenset[bytes]().union(*legal)
        found = frozenset(key for key in asked if slot_of(header, array_size, key) is not None)
        if found not in legal:
            raise Illegal(f"the keys {sorted(found)} open, legal are {legal}", lost=not found)
        self.now, self.next = found, None
        return min(found)


@dataclass
class Container:
    """The container of one life.  ``folder`` outlives crashes: backups and the journal are kept there."""

    folder: Path
    keyring: Keyring = field(default_factory=Keyring)
    kept: tuple[bytes, frozenset[bytes]] | None = None
    """A header's backup and the keys that open it."""

    @property
    def store(self) -> HeaderStore:
        """As a volume has it."""
        return HeaderStore(self.folder)

    def opened(self, mirror: Mirror) -> CryptDevice:
        """The payload; what a crash left of a change is judged."""
        header = settle_header(mirror, self.store, "v")
        if read_leniently(mirror, len(header)) != header or self.store.journal() is not None:
            raise Illegal("the header is not settled after a start")
        _judge_copies(header)
        key = self.keyring.judge(header, mirror.size)
        found = unlock_container(header, array_size=mirror.size, passphrase=key, attempt=_ATTEMPT)
        with found.key:
            cipher = SectorCipher(found.cipher_name, found.key, found.sector_size)
        payload = mirror.size - found.payload_offset
        return CryptDevice(mirror, cipher, found.payload_offset, found.sector_size, payload)

    def change(self, mirror: Mirror, random: Random, now: float) -> str:
        """A key is added, changed or removed, or a backup is put back; what was done."""
        before = settle_header(mirror, self.store, "v")
        what = random.choice(self._possible())
        after, keys = getattr(self, f"_{what}")(before, mirror.size, random)
        if self.kept is None or random.random() < 0.3:
            self.kept = backup_of(before), self.keyring.now
        self.keyring.begins(keys)
        work = replace_header if what == "restore" else change_header
        work(mirror, self.store, before, after, now)
        self.keyring.ended()
        return what

    def _possible(self) -> list[str]:
        many = len(self.keyring.now)
        enough = {"add": many < MOST, "change": True, "remove": many > 1, "restore": self.kept is not None}
        return [name for name, possible in enough.items() if possible]

    def _add(self, header: bytes, size: int, _random: Random) -> tuple[bytes, frozenset[bytes]]:
        new, old = self._new(), min(self.keyring.now)
        after = add_key(
            header, array_size=size, secret=old, new_secret=new, note=_NOTE, cost=CHEAP, attempt=_ATTEMPT
        )
        return after.header, self.keyring.now | {new}

    def _change(self, header: bytes, size: int, random: Random) -> tuple[bytes, frozenset[bytes]]:
        new, old = self._new(), random.choice(sorted(self.keyring.now))
        after = change_key(
            header, array_size=size, secret=old, new_secret=new, note=_NOTE, cost=CHEAP, attempt=_ATTEMPT
        )
        return after.header, self.keyring.now - {old} | {new}

    def _remove(self, header: bytes, size: int, random: Random) -> tuple[bytes, frozenset[bytes]]:
        old = random.choice(sorted(self.keyring.now))
        number = slot_of(header, size, old)
        assert number is not None
        return remove_key(header, array_size=size, number=number).header, self.keyring.now - {old}

    def _restore(self, header: bytes, _size: int, _random: Random) -> tuple[bytes, frozenset[bytes]]:
        assert self.kept is not None
        return restored(header, self.kept[0]), self.kept[1]

    def _new(self) -> bytes:
        self.keyring.made += 1
        return b"key %d" % self.keyring.made


def _judge_copies(header: bytes) -> None:
    first, second = header[:_COPY], header[_COPY : 2 * _COPY]
    alike = first[_JSON:] == second[_JSON:] and first[_SEQUENCE] == second[_SEQUENCE]
    if len(whole_copies(header)) != 2 or not alike:
        raise Illegal("the copies of the header differ after a start")
