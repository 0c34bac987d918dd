"""Opening a volume that is one device without an array."""

import contextlib
from uuid import UUID

from twinlock.block.bare import BareStore
from twinlock.block.file import FileDevice
from twinlock.errors import ContainerUnsupported, NoMemberUsable
from twinlock.luks.container import inspect_container
from twinlock.server.container_header import find_header
from twinlock.server.header_store import HeaderStore
from twinlock.server.messages import VolumeSpec


def open_bare(spec: VolumeSpec, undo: contextlib.ExitStack, *, whatever: bool = False) -> BareStore:
    """The device, held for this process alone until ``undo``; a container on it is the volume's.

    ``whatever``: nobody looks what is on it, for that is about to be put right.

    Raises NoMemberUsable, ContainerUnsupported, and what opening a member raises.
    """
    if spec.array is None or len(spec.members) != 1:
        reason = "a volume of layout bare has one member, and in 'array' the UUID that initiators know it by"
        raise NoMemberUsable(name=spec.name, reason=reason)
    device = FileDevice.open(spec.members[0])
    undo.callback(device.close)
    store = BareStore(device, spec.array.bytes)
    if spec.encrypted and not whatever:
        _refuse_other_container(store, spec.array, HeaderStore.of(spec))
    return store


def _refuse_other_container(store: BareStore, expected: UUID, headers: HeaderStore | None) -> None:
    """Paths change their disks: what is there must be the container that was taken over.

    One copy of its header is enough.
    """
    found = inspect_container(find_header(store, headers).good, array_size=store.size).uuid
    if UUID(found) != expected:
        reason = f"{store.path} holds container {found}, not {expected}; connect the right disk"
        raise ContainerUnsupported(reason=reason)
