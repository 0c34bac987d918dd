"""Fuzzing: sequences of PDUs against a target, with a judge that knows only RFC 7143.

An input is a string of bytes, read as a series of choices (``choices``).  The grammar
(``grammar``) turns choices into what an initiator, a second initiator and the target's
owner do, and ``delivery`` cuts the stream.  Every entry (``entries``) plays one input
against a fresh target, without I/O or through real sockets, while ``oracle`` watches
both directions.  So one input can come from Hypothesis, from atheris, from a seed or
from the corpus, and means the same.
"""
