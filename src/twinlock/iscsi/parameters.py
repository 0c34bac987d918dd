"""What a session runs by, and the table of keys that negotiate it (RFC 7143 section 13).

A key is a row: how its value is read and written, how the two sides' values
become one, and when it may be sent.  Rows that depend on others come after them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twinlock.iscsi import limits
from twinlock.wire.iscsi_codes import Stage
from twinlock.wire.iscsi_text import parse_number

_LARGEST_SEGMENT = (1 << 24) - 1


@dataclass(frozen=True, slots=True)
class Parameters:
    """The values in force; a new instance has the defaults of RFC 7143.  Lengths in bytes, times in seconds.

    As preferences of the target they are its side of each negotiation.
    """

    header_digest: str = "None"
    data_digest: str = "None"
    max_connections: int = 1
    initial_r2t: bool = True
    immediate_data: bool = True
    initiator_data_segment: int = limits.LOGIN_DATA_SEGMENT
    """The initiator's MaxRecvDataSegmentLength, which bounds what we send."""
    max_burst_length: int = 262144
    first_burst_length: int = 65536
    default_time2wait: int = 2
    default_time2retain: int = 20
    max_outstanding_r2t: int = 1
    data_pdu_in_order: bool = True
    data_sequence_in_order: bool = True
    error_recovery_level: int = 0
    task_reporting: str = "RFC3720"
    protocol_level: int = 1


PREFERENCES = Parameters(max_outstanding_r2t=8, default_time2retain=0)
"""The target's side: as LIO's, but more R2Ts for those who want them, and no state kept after a session."""

Result = Callable[[Any, Any], Any]


def theirs_holds(theirs: Any, _ours: Any) -> Any:
    """Result function of a declaration, or of a list whose choice was made in reading it."""
    return theirs


def either(theirs: bool, ours: bool) -> bool:
    """Result function OR (section 6.2.2)."""
    return theirs or ours


def both(theirs: bool, ours: bool) -> bool:
    """Result function AND (section 6.2.2)."""
    return theirs and ours


@dataclass(frozen=True, slots=True)
class ValueType:
    """How values of a kind are read (ValueError for what is none) and written."""

    read: Callable[[str], Any]
    write: Callable[[Any], str] = str


def number(low: int, high: int) -> ValueType:
    """A number between ``low`` and ``high``."""

    def read(text: str) -> int:
        if not low <= (value := parse_number(text)) <= high:
            raise ValueError("out of range")
        return value

    return ValueType(read)


def one_of(*supported: str) -> ValueType:
    """A list in the initiator's order of preference, of which the first that is supported is taken."""

    def read(text: str) -> str:
        chosen = next((item for item in text.split(",") if item in supported), None)
        if chosen is None:
            raise ValueError("nothing we support")
        return chosen

    return ValueType(read)


def never(_text: str) -> str:
    """Reads nothing: the key is refused whatever its value."""
    raise ValueError("not accepted")


BOOLEAN = ValueType({"Yes": True, "No": False}.__getitem__, lambda value: "Yes" if value else "No")
TEXT = ValueType(str)

LOGIN = frozenset({Stage.SECURITY, Stage.OPERATIONAL})
OPERATIONAL = frozenset({Stage.OPERATIONAL})
FULL_FEATURE = frozenset({Stage.FULL_FEATURE})
SECURITY = frozenset({Stage.SECURITY})
ALWAYS = LOGIN | FULL_FEATURE
BEYOND_SECURITY = OPERATIONAL | FULL_FEATURE


Relevance = Callable[[Parameters, bool], bool]
"""Whether a key means anything, given what was agreed before, and whether the session is for discovery."""


def _always(_parameters: Parameters, _discovery: bool) -> bool:
    return True


def _normal(_parameters: Parameters, discovery: bool) -> bool:
    return not discovery


def _unsolicited(parameters: Parameters, discovery: bool) -> bool:
    return not discovery and (parameters.immediate_data or not parameters.initial_r2t)


@dataclass(frozen=True, slots=True)
class Key:
    """A row of the table.  ``parameter`` is the field of :class:`Parameters` to set, if there is one."""

    name: str
    type: ValueType
    result: Result = theirs_holds
    parameter: str | None = None
    relevant: Relevance = _always
    """Answered with Irrelevant otherwise."""
    stages: frozenset[Stage] = OPERATIONAL
    """Answered with Reject in others."""
    declared: bool = False
    """A declaration is not answered, and may be made again."""


_TIME = number(0, 3600)
_SEGMENT = number(512, _LARGEST_SEGMENT)
_COUNT = number(1, 65535)
_DIGEST = one_of("CRC32C", "None")

# fmt: off
KEYS: tuple[Key, ...] = (
    # name                           type               result        parameter                 when
    Key("InitiatorName",             TEXT,              declared=True, stages=LOGIN),
    Key("InitiatorAlias",            TEXT,              declared=True, stages=ALWAYS),
    Key("TargetName",                TEXT,              declared=True, stages=LOGIN),
    Key("SessionType",               TEXT,              declared=True, stages=LOGIN),
    Key("AuthMethod",                TEXT,              stages=SECURITY),
    Key("SendTargets",               TEXT,              stages=FULL_FEATURE),
    Key("MaxRecvDataSegmentLength",  _SEGMENT,          theirs_holds, "initiator_data_segment",
        declared=True, stages=BEYOND_SECURITY),
    Key("HeaderDigest",              _DIGEST,           theirs_holds, "header_digest"),
    Key("DataDigest",                _DIGEST,           theirs_holds, "data_digest"),
    Key("MaxConnections",            _COUNT,            min,          "max_connections",        _normal),
    Key("InitialR2T",                BOOLEAN,           either,       "initial_r2t",            _normal),
    Key("ImmediateData",             BOOLEAN,           both,         "immediate_data",         _normal),
    Key("MaxBurstLength",            _SEGMENT,          min,          "max_burst_length",       _normal),
    Key("FirstBurstLength",          _SEGMENT,          min,          "first_burst_length",     _unsolicited),
    Key("DefaultTime2Wait",          _TIME,             max,          "default_time2wait"),
    Key("DefaultTime2Retain",        _TIME,             min,          "default_time2retain"),
    Key("MaxOutstandingR2T",         _COUNT,            min,          "max_outstanding_r2t",    _normal),
    Key("DataPDUInOrder",            BOOLEAN,           either,       "data_pdu_in_order",      _normal),
    Key("DataSequenceInOrder",       BOOLEAN,           either,       "data_sequence_in_order", _normal),
    Key("ErrorRecoveryLevel",        number(0, 2),      min,          "error_recovery_level"),
    Key("TaskReporting",             one_of("RFC3720"), theirs_holds, "task_reporting",         _normal),
    Key("iSCSIProtocolLevel",        number(0, 31),     min,          "protocol_level"),
    # Obsolete (section 13.25): markers are answered No, their intervals Reject, neither NotUnderstood.
    Key("IFMarker",                  BOOLEAN,           lambda _theirs, _ours: False),
    Key("OFMarker",                  BOOLEAN,           lambda _theirs, _ours: False),
    Key("IFMarkInt",                 ValueType(never)),
    Key("OFMarkInt",                 ValueType(never)),
)
# fmt: on
"""Every key this target understands.  CHAP's keys are the affair of :mod:`twinlock.iscsi.chap`."""
