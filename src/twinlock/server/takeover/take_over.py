"""``twinlock import`` in the worker: hold the members, look, try the passphrase, and only then write."""

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretBytes

from twinlock.block.file import FileDevice
from twinlock.errors import (
    CannotImport,
    DeviceError,
    InternalError,
    MemberNamedTwice,
    MemberUnusable,
    NotPossibleNow,
)
from twinlock.luks.container import unlock_container
from twinlock.luks.opening import Attempt
from twinlock.server.container_header import find_header
from twinlock.server.derivation import one_derivation
from twinlock.server.memory import available_memory
from twinlock.server.rescue import try_everywhere
from twinlock.server.takeover import array, single
from twinlock.server.takeover.contents import Source
from twinlock.server.takeover.facts import Found, Import
from twinlock.server.takeover.superblocks import is_member


@dataclass(frozen=True, slots=True)
class _Sight:
    """What was found, and where."""

    found: Found
    source: Source


def take_over(request: Import, *, wanted: Callable[[], bool]) -> Found:
    """See :class:`Import`.  ``wanted`` is asked a last time before the first byte is written.

    Raises TwinlockError with nothing changed; MemberUnusable also if a member cannot be read or written.
    """
    try:
        with contextlib.ExitStack() as undo:
            return _take_over(request, wanted, _hold(request, undo))
    except DeviceError as error:
        raise MemberUnusable(path=request.members[0], reason=f"it failed ({error})") from error


def _take_over(request: Import, wanted: Callable[[], bool], devices: Sequence[FileDevice]) -> Found:
    sight = _look(devices)
    if request.expected is not None and request.expected != sight.found:
        raise NotPossibleNow(reason="the members hold something else than a moment ago; look again")
    if request.passphrase is not None:
        _try(sight.source, request.passphrase, request)
    if request.carry_out:
        if not wanted():
            raise InternalError(reason="the command was interrupted")
        if sight.found.array is not None and sight.found.array.bitmap == "added":
            array.add_bitmap(devices, int(time.time()))
    return sight.found


def _hold(request: Import, undo: contextlib.ExitStack) -> list[FileDevice]:
    """Every member, for this process alone."""
    devices: list[FileDevice] = []
    for path in request.members:
        twin = next((other for other in devices if _same(other.path, path)), None)
        if twin is not None:
            raise MemberNamedTwice(path=path, other=twin.path)
        device = FileDevice.open(path, writable=request.carry_out)
        undo.callback(device.close)
        devices.append(device)
    return devices


def _same(one: str, other: str) -> bool:
    """Whether both paths lead to one file, or to one disk."""
    try:
        first, second = os.stat(one), os.stat(other)
    except OSError:
        return False
    return os.path.samestat(first, second) or (first.st_rdev != 0 and first.st_rdev == second.st_rdev)


def _look(devices: Sequence[FileDevice]) -> _Sight:
    if any(is_member(device) for device in devices):
        judgement, lacks_bitmap = array.judge_members(devices)
        return _Sight(array.look(judgement, lacks_bitmap=lacks_bitmap), array.source_of(judgement))
    first = devices[0]
    found = single.look(first)
    if len(devices) > 1:
        raise CannotImport(
            path=devices[1].path,
            reason=f"neither it nor {first.path} belongs to an array, and only one device can be served "
            "as it is",
        )
    return _Sight(found, single.source_of(first))


def _try(source: Source, passphrase: SecretBytes, request: Import) -> None:
    """Raise WrongPassphrase if it opens no keyslot on any member; the key is wiped at once."""
    secret = passphrase.get_secret_value()
    with one_derivation(Path(request.derivation_lock)):
        container, _ = try_everywhere(
            find_header(source, None),
            source,
            lambda header, number: unlock_container(
                header,
                array_size=source.size,
                passphrase=secret,
                attempt=Attempt(request.name, number, available_memory(swap=True)),
            ),
        )
    container.key.close()
