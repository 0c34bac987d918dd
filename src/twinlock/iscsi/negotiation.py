"""Answers text keys by the table in :mod:`twinlock.iscsi.parameters` (RFC 7143 section 6.2)."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from twinlock.errors import ProtocolError
from twinlock.iscsi.parameters import KEYS, Key, Parameters
from twinlock.wire.iscsi_codes import Stage
from twinlock.wire.iscsi_text import Pairs

REJECT = "Reject"
IRRELEVANT = "Irrelevant"
NOT_UNDERSTOOD = "NotUnderstood"

_KEYS_BY_NAME = {key.name: key for key in KEYS}


def unique(pairs: Pairs) -> dict[str, str]:
    """The pairs as a mapping; a key may come again only with the same value (section 6.3)."""
    keys: dict[str, str] = {}
    for name, value in pairs:
        if keys.setdefault(name, value) != value:
            raise ProtocolError(f"{name} was sent twice with different values")
    return keys


class Negotiation:
    """One connection's side of the negotiation; ``parameters`` is what holds so far."""

    def __init__(self, preferences: Parameters, *, discovery: bool) -> None:
        self.parameters = Parameters()
        self._preferences = preferences
        self._discovery = discovery
        self._settled: set[str] = set()

    def answer(self, keys: Mapping[str, str], stage: Stage) -> dict[str, str]:
        """The answers to ``keys``; raises :class:`ProtocolError` for what was negotiated before."""
        answers: dict[str, str] = {}
        for key in KEYS:
            if key.name in keys and (answer := self._answer(key, keys[key.name], stage)) is not None:
                answers[key.name] = answer
        return answers | {name: NOT_UNDERSTOOD for name in keys if name not in _KEYS_BY_NAME}

    def _answer(self, key: Key, value: str, stage: Stage) -> str | None:
        if stage not in key.stages:
            return REJECT
        if not key.declared:
            self._settle(key)
        if not key.relevant(self.parameters, self._discovery):
            return IRRELEVANT
        try:
            theirs = key.type.read(value)
        except (ValueError, KeyError):
            return REJECT
        result = key.result(theirs, self._preference(key))
        self._set(key, result)
        return None if key.declared else key.type.write(result)

    def _settle(self, key: Key) -> None:
        if key.name in self._settled:
            raise ProtocolError(f"{key.name} was negotiated before")
        self._settled.add(key.name)

    def _preference(self, key: Key) -> Any:
        return getattr(self._preferences, key.parameter) if key.parameter else None

    def _set(self, key: Key, value: Any) -> None:
        if key.parameter:
            self.parameters = dataclasses.replace(self.parameters, **{key.parameter: value})
