"""What a peer may ask of us: every bound of the protocol layer, by name.

Whoever has not logged in can hold no more of a connection than the first group allows.
"""

from twinlock.units import KIB, MIB

# -- before and during login -------------------------------------------------------------------------

LOGIN_DATA_SEGMENT = 8 * KIB
"""Bytes of a data segment in the login phase and in discovery sessions (RFC 7143 section 13.12's default)."""
NEGOTIATION_TEXT = 16 * KIB
"""Bytes of a text that is continued over several PDUs (the C bit)."""
LOGIN_ROUNDS = 32
"""Login requests until the full feature phase; CHAP with every key in a PDU of its own needs ten."""
TEXT_KEYS = 64
"""Keys in one text; answered with NotUnderstood each, they still fit into one data segment."""
TEXT_VALUE = 2 * 1024 + 2
"""Characters of a value: a CHAP challenge of the longest kind in hexadecimal."""
NAME_LENGTH = 223
"""Bytes of an iSCSI name (section 4.2.7.1)."""
CHAP_CHALLENGE = 1024
"""Bytes of a CHAP challenge or response (section 12.1.3)."""
CHAP_SECRET_MINIMUM = 12
"""Bytes below which RFC 7143 section 9.2.1 calls a secret too weak without IPsec."""

# -- full feature phase ------------------------------------------------------------------------------

RECEIVE_DATA_SEGMENT = 256 * KIB
"""Bytes of a data segment in normal sessions: the MaxRecvDataSegmentLength we declare."""
COMMAND_WINDOW = 128
"""Commands an initiator may have under way (MaxCmdSN)."""
IMMEDIATE_TASKS = 32
"""SCSI commands for immediate delivery, which no window bounds, at a time."""
TRANSFER_LENGTH = 16 * MIB
"""Bytes of the longest write gathered in memory."""
GATHERED_DATA = 64 * MIB
"""Bytes of solicited writes in memory at a time; further R2Ts wait for earlier writes to complete."""
EARLY_DATA = 8 * MIB
"""Bytes of commands (and their data) kept because one with a lower CmdSN is missing."""
