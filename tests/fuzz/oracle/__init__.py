"""What RFC 7143 lets a target send, given what it was sent.

:class:`~tests.fuzz.oracle.judge.Judge` hears both directions and raises
:class:`~tests.fuzz.oracle.rules.Broken`.
It shares no code with the target: PDUs are read by their offsets.
"""
