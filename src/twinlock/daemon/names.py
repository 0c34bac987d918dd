"""What may be called how: volumes, targets, initiators, networks, members."""

import os
import re
from collections.abc import Collection

from twinlock.errors import InitiatorNameInvalid, NameInvalid, NetworkInvalid, TargetNameInvalid
from twinlock.server.access import parse_network

MAX_NAME = 32
"""Characters of a volume's name."""
NAME_LENGTH = 223
"""Bytes of an iSCSI name (RFC 7143 section 4.2.7.1)."""
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_AUTHORITY = r"iqn\.\d{4}-(0[1-9]|1[0-2])\.[a-z0-9.-]+"
_NUMBERED = r"eui\.[0-9a-f]{16}|naa\.([0-9a-f]{16}){1,2}"
_TARGET = re.compile(rf"{_AUTHORITY}(:[a-z0-9.:_-]+)?|{_NUMBERED}")
_INITIATOR = re.compile(rf"{_AUTHORITY}(:[^\s\"\\,]+)?|{_NUMBERED}", re.IGNORECASE)
"""Initiators call themselves what they like after the colon; it only has to be comparable."""


def check_name(name: str) -> str:
    """The name, if a volume may have it; raises NameInvalid."""
    if not _NAME.fullmatch(name):
        raise NameInvalid(name=name)
    return name


def check_target(name: str) -> str:
    """The target name, if iSCSI allows it (RFC 7143 section 4.2.7); raises TargetNameInvalid."""
    if len(name) > NAME_LENGTH or not _TARGET.fullmatch(name):
        raise TargetNameInvalid(
            name=name, reason="write it like iqn.2026-11.net.example:backup, in lower case"
        )
    return name


def check_initiator(name: str) -> str:
    """The initiator's name, if iSCSI allows it (RFC 7143 section 4.2.7); raises InitiatorNameInvalid."""
    if len(name.encode(errors="replace")) > NAME_LENGTH or not _INITIATOR.fullmatch(name):
        raise InitiatorNameInvalid(name=name)
    return name


def check_network(text: str) -> str:
    """The network, if it is one; raises NetworkInvalid."""
    try:
        parse_network(text)
    except ValueError as error:
        raise NetworkInvalid(network=text, reason=error) from error
    return text


def check_lists(initiators: Collection[str], networks: Collection[str]) -> None:
    """Raise InitiatorNameInvalid or NetworkInvalid for what cannot be on a list."""
    for name in initiators:
        check_initiator(name)
    for network in networks:
        check_network(network)


def check_path(path: str) -> str:
    """The path of a member, if it means the same from everywhere; raises ValueError."""
    if not os.path.isabs(path):
        raise ValueError(f"{path!r} does not begin with /")
    return path


def check_members(paths: tuple[str, ...]) -> tuple[str, ...]:
    """The members' paths, if they differ; raises ValueError."""
    if len(set(paths)) < len(paths):
        raise ValueError("the members must be different")
    return paths
