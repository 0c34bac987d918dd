"""Tasks on keys: list, add, remove, change, test."""

import time
from collections.abc import Callable
from typing import Any

from twinlock.errors import NotPossibleNow
from twinlock.luks import keyslots
from twinlock.luks.keyslots import ChangedHeader, Keyslot
from twinlock.luks.kinds import Kind, Note
from twinlock.server.container_header import change_header, settle_header
from twinlock.server.derivation import one_derivation
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
        available = available_memory()
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
        fits=available is None or slot.cost.memory <= available,
        bound=slot.bound,
        tokens=slot.tokens,
    )


def _test(task: KeyTest, context: Context) -> Message:
    with container_of(context) as container:
        header = container.header
        with one_derivation(context.derivation_lock):
            number = keyslots.opening_slot(
                header,
                array_size=container.size,
                secret=task.secret.get_secret_value(),
                name=container.name,
                number=task.number,
            )
        slot = keyslots.list_keyslots(header, array_size=container.size).find(number)
        return KeyResult(number=number, kind=str(slot.note.kind), backups=container.backups)


def _add(task: KeyAdd, context: Context) -> Message:
    return _new_secret(task, context, keyslots.add_key)


def _change(task: KeyChange, context: Context) -> Message:
    return _new_secret(task, context, keyslots.change_key)


def _new_secret(task: KeyAdd | KeyChange, context: Context, work: Callable[..., ChangedHeader]) -> Message:
    """What adding and changing have in common: the new key is tried before anything is written."""
    kind = Kind.KEY_FILE if task.new_is_file else Kind.PASSPHRASE
    with container_of(context) as container:
        header = container.header
        with one_derivation(context.derivation_lock):
            cost, told = new_key_cost(task.iter_time, available_memory())
            changed = work(
                header,
                array_size=container.size,
                secret=task.secret.get_secret_value(),
                new_secret=task.new_secret.get_secret_value(),
                note=Note(kind, int(time.time())),
                cost=cost,
                name=container.name,
            )
        _write(container, header, changed.header)
        said = (told,) if told and _costs_memory(changed, container.size) else ()
        away = container.away if isinstance(task, KeyChange) else ()
        return KeyResult(
            number=changed.number,
            kind=str(kind),
            remarks=(*said, *map(_still_opens, away)),
            backups=container.backups,
        )


def _costs_memory(changed: ChangedHeader, size: int) -> bool:
    """False for PBKDF2 (LUKS1)."""
    return keyslots.list_keyslots(changed.header, array_size=size).find(changed.number).cost.memory > 0


def _remove(task: KeyRemove, context: Context) -> Message:
    with container_of(context) as container:
        header, size = container.header, container.size
        slots = keyslots.list_keyslots(header, array_size=size)
        kind = slots.find(task.number).note.kind
        changed = keyslots.remove_key(header, array_size=size, number=task.number, force=task.force)
        _write(container, header, changed.header)
        kinds = () if slots.knows_kinds else (_LUKS1_KINDS,)
        remarks = (*kinds, *map(_still_opens, container.away))
        return KeyResult(number=task.number, kind=str(kind), remarks=remarks, backups=container.backups)


def _still_opens(member: str) -> str:
    return f"{member} was not written to: it still holds the old key until it is back and caught up"


def _write(container: Container, known: bytes, after: bytes) -> None:
    """``after`` was made of ``known``, which the header still has to be."""
    device, store = container.writable(), container.store
    before = settle_header(device, store, container.name)
    if before != known:
        raise NotPossibleNow(reason="the header reads differently now than a moment ago; try again")
    change_header(device, store, before, after, time.time())


HANDLERS: dict[type[Any], Callable[[Any, Context], Message]] = {
    KeyList: _list,
    KeyAdd: _add,
    KeyChange: _change,
    KeyRemove: _remove,
    KeyTest: _test,
}
