"""The target's name inside the container, so that it travels with the disks.

Only a name that differs from the default is stored: a LUKS2 token (LUKS2 on-disk
format, section 3.4) of type ``twinlock`` that belongs to no keyslot.
"""

import json
from typing import Any

from typing_extensions import Buffer

from twinlock.errors import ContainerUnsupported
from twinlock.luks.device import CallFailed, LuksDevice
from twinlock.luks.image import HeaderImage

TOKEN_TYPE = "twinlock"


def target_name_in(metadata: dict[str, Any]) -> str | None:
    """The target name that LUKS2 metadata holds, if it holds one."""
    number = _token_number(metadata)
    name = metadata["tokens"][number].get("target") if number is not None else None
    return name if isinstance(name, str) else None


def set_target_name(device: LuksDevice, name: str | None) -> None:
    """Store ``name`` in the loaded container, or remove it (None)."""
    number = _token_number(json.loads(device.metadata()))
    token = None if name is None else json.dumps({"type": TOKEN_TYPE, "keyslots": [], "target": name})
    if number is not None or token is not None:
        device.set_token(int(number) if number is not None else None, token)


def with_target_name(header: Buffer, *, array_size: int, name: str | None) -> bytes:
    """The header area with another target name (None: the default), of the same length; LUKS2 only.

    Raises :class:`ContainerUnsupported` for LUKS1, which has no tokens.
    """
    with HeaderImage(array_size, header) as image, LuksDevice.open(image) as device:
        try:
            device.load()
            if device.version == 1:
                raise ContainerUnsupported(reason="it is LUKS1, which cannot hold a target name")
            set_target_name(device, name)
        except CallFailed as failure:
            raise ContainerUnsupported(reason=str(failure)) from failure
        return image.read(memoryview(header).nbytes)


def _token_number(metadata: dict[str, Any]) -> str | None:
    tokens = metadata["tokens"]
    return next((number for number in sorted(tokens, key=int) if tokens[number]["type"] == TOKEN_TYPE), None)
