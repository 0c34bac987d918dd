"""The states of a connection, and what happens to it; the table is at the end of ``connection``."""

from enum import StrEnum


class ConnectionState(StrEnum):
    """The target's states of a connection (RFC 7143 section 8.1.1: S3 to S6, and S1 at the end)."""

    XPT_UP = "transport up"
    IN_LOGIN = "in login"
    LOGGED_IN = "logged in"
    LOGOUT_REQUESTED = "logout requested"
    IN_LOGOUT = "in logout"
    FREE = "free"


class ConnectionEvent(StrEnum):
    """What happens to a connection."""

    LOGIN_REQUEST = "login request"
    OTHER_PDU = "another PDU"
    LOGIN_OVER = "login over"
    TURNED_AWAY = "the owner turns the session away"
    LOGOUT_WANTED = "the owner wants a logout"
    LOGGED_OUT = "logged out"
    FAILED = "failure"
