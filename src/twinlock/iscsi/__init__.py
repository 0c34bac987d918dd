"""The iSCSI target's protocol (RFC 7143), without I/O: bytes in, events out, buffers to send.

:class:`~twinlock.iscsi.connection.TargetConnection` is the door; behind it, a
PDU passes framing, then either the login phase (negotiation, CHAP) or the full
feature phase (command order, data transfers, text, task management).
"""
