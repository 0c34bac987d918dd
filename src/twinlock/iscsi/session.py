"""Who is logged in, and how."""

from dataclasses import dataclass
from enum import StrEnum

from twinlock.iscsi.parameters import Parameters


class SessionType(StrEnum):
    """What a session is for (RFC 7143 section 13.21)."""

    NORMAL = "Normal"
    DISCOVERY = "Discovery"


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One session, which is one connection.

    The same ``initiator_name`` and ``isid`` on the same ``target_name`` as a living
    session is that session's reinstatement (section 6.3.5).
    """

    initiator_name: str
    isid: bytes
    tsih: int
    cid: int
    session_type: SessionType
    target_name: str | None
    """None in a discovery session."""
    initiator_alias: str
    user: str | None
    """Who was authenticated by CHAP."""
    parameters: Parameters
    """As agreed at the end of the login."""
