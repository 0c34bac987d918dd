"""Tasks on keys: list, add, remove, change, test."""

import time
from collections.abc import Callable
from typing import Any

from twinlock.errors import NotPossibleNow
from twinlock.luks import keyslots
from twinlock.luks.copies import is_luks2
from twinlock.luks.device import Cost
from twinlock.luks.keyslots import ChangedHeader, Keyslot
from twinlock.luks.kinds import Kind, Note
from twinlock.luks.opening import fits
from twinlock.server.container_header import FoundHeader, change_header, settle_header
from twinlock.server.key_tasks import (
    KeyAdd,
    KeyChange,
    KeyFacts,
    KeyList,
    KeyRemove,
    KeyResult,
    KeysResult,
    KeyTest,
)
from twinlock.server.maintenance.container import Container, container_of
from twinlock.server.maintenance.context import Context
from twinlock.server.memory import available_memory, new_key_cost
from twinlock.server.message import Message

_LUKS1_KINDS = "LUKS1 does not say which keys are key files; make sure that a passphrase you know is left"


def _list(_: KeyList, context: Context) -> Message:
    with container_of(context) as container:
        slots = keyslots.list_keyslots(container.header, array_size=container.size)
        available = available_memory(swap=True)
        return KeysResult(
            version=slots.version,
            uuid=slots.uuid,
            places=slots.places,
            knows_kinds=slots.knows_kinds,
            backups=container.backups,
            keys=tuple(_facts(slot, available) for slot in slots.used),
        )


def _facts(slot: Keyslot, available: int | None) -> KeyFacts:
    return KeyFacts(
        number=slot.number,
        kind=str(slot.note.kind),
        since=slot.note.since,
        kdf=slot.cost.kdf,
        iterations=slot.cost.iterations,
        memory=slot.cost.memory,
        threads=slot.cost.threads,
        fits=fits(slot.cost.memory, available),
        bound=slot.bound,
        ignored=slot.ignored,
        tokens=slot.tokens,
    )


def _test(task: KeyTest, context: Context) -> Message:
    with container_of(context) as container:
        size, secret = container.size, task.secret.get_secret_value()
        number, found = container.with_key(
            task.number,
            lambda header, attempt: keyslots.opening_slot(
                header, array_size=size, secret=secret, attempt=attempt
            ),
        )
        slot = keyslots.list_keyslots(found.good, array_size=size).find(number)
        return KeyResult(number=number, kind=str(slot.note.kind), backups=container.backups)


def _add(task: KeyAdd, context: Context) -> Message:
    return _new_secret(task, context, keyslots.add_key)


def _change(task: KeyChange, context: Context) -> Message:
    return _new_secret(task, context, keyslots.change_key)


def _new_secret(task: KeyAdd | KeyChange, context: Context, work: Callable[..., ChangedHeader]) -> Message:
    """What adding and changing have in common: the new key is tried before anything is written."""
    kind = Kind.KEY_FILE if task.new_is_file else Kind.PASSPHRASE
    with container_of(context) as container:
        cost, told = _cost(task.iter_time, container)
        changed, found = container.with_key(
            None,
            lambda header, attempt: work(
                header,
                array_size=container.size,
                secret=task.secret.get_secret_value(),
                new_secret=task.new_secret.get_secret_value(),
                note=Note(kind, int(time.time())),
                cost=cost,
                attempt=attempt,
            ),
        )
        _write(container, found, changed.header)
        said = (told,) if told else ()
        away = container.away if isinstance(task, KeyChange) else ()
        return KeyResult(
            number=changed.number,
            kind=str(kind),
            remarks=(*said, *map(_still_opens, away)),
            backups=container.backups,
        )


def _cost(milliseconds: int | None, container: Container) -> tuple[Cost, str | None]:
    """What the new key shall cost, and what to say of it; PBKDF2 (LUKS1) takes no memory."""
    available = available_memory() if is_luks2(container.header) else None
    return new_key_cost(milliseconds, available)


def _remove(task: KeyRemove, context: Context) -> Message:
    with container_of(context) as container:
        found, size = container.found, container.size
        slots = keyslots.list_keyslots(found.good, array_size=size)
        kind = slots.find(task.number).note.kind
        changed = keyslots.remove_key(found.good, array_size=size, number=task.number, force=task.force)
        _write(container, found, changed.header)
        kinds = () if slots.knows_kinds else (_LUKS1_KINDS,)
        remarks = (*kinds, *map(_still_opens, container.away))
        return KeyResult(number=task.number, kind=str(kind), remarks=remarks, backups=container.backups)


def _still_opens(member: str) -> str:
    return f"{member} was not written to: it still holds the old key until it is back and caught up"


def _write(container: Container, known: FoundHeader, after: bytes) -> None:
    """``after`` was made of what is ``known``, which the header still has to be.

    What only one member held whole goes to all of them first.
    """
    device, store = container.writable(), container.store
    before = settle_header(device, store, container.name, known)
    if before != known.good:
        raise NotPossibleNow(reason="the header reads differently now than a moment ago; try again")
    change_header(device, store, before, after, time.time())


HANDLERS: dict[type[Any], Callable[[Any, Context], Message]] = {
    KeyList: _list,
    KeyAdd: _add,
    KeyChange: _change,
    KeyRemove: _remove,
    KeyTest: _test,
}
