"""How a peer's mistake travels inside the protocol layer, until the connection answers it."""

from twinlock.errors import ProtocolError
from twinlock.wire.iscsi_codes import LoginStatus

__all__ = ["LoginRefused", "ProtocolError"]


class LoginRefused(ProtocolError):
    """The login ends here; ``status`` is what the login response says (RFC 7143 section 11.13.5)."""

    def __init__(self, status: LoginStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
