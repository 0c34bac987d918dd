"""CHAP, one-way and mutual (RFC 7143 section 12.1.3, RFC 1994; algorithms of RFC 7143 and IANA's registry).

The exchange has two steps, and the table ``_STEPS`` says what each takes: the
initiator names algorithms and is challenged; it answers, perhaps with a
challenge of its own, and is answered.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from twinlock.errors import ChapSecretUnusable
from twinlock.iscsi import limits
from twinlock.iscsi.errors import LoginRefused
from twinlock.wire.iscsi_codes import LoginStatus
from twinlock.wire.iscsi_text import build_binary, parse_binary, parse_number


class Secret:
    """A secret that shows itself to nobody who does not ask for it by name."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes | str) -> None:
        self._value = value.encode() if isinstance(value, str) else bytes(value)

    def reveal(self) -> bytes:
        """The bytes of the secret."""
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(...)"


@dataclass(frozen=True, slots=True)
class ChapPolicy:
    """Who may log in, and how the target proves itself in return if it is asked to.

    Raises :class:`ChapSecretUnusable` for secrets that RFC 7143 section 9.2.1 forbids.
    """

    user: str
    secret: Secret
    mutual_user: str | None = None
    mutual_secret: Secret | None = None

    def __post_init__(self) -> None:
        if not self.user:
            raise ChapSecretUnusable(what="user", reason="it is empty")
        if (self.mutual_user is None) != (self.mutual_secret is None):
            raise ChapSecretUnusable(what="mutual user", reason="a user and a secret belong together")
        shortest = min(len(secret) for secret in (self.secret, self.mutual_secret) if secret is not None)
        if shortest < (needed := limits.CHAP_SECRET_MINIMUM):
            raise ChapSecretUnusable(what="secret", reason=f"use at least {needed} characters")
        if self.secret == self.mutual_secret:
            raise ChapSecretUnusable(what="mutual secret", reason="the two directions need different secrets")


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A value of CHAP_A; ``size`` is that of its digests, and of the challenges we send, in bytes."""

    number: int
    name: str
    digest: Callable[[bytes], Any]
    size: int

    def response(self, identifier: int, secret: Secret, challenge: bytes) -> bytes:
        """RFC 1994 section 4.1."""
        result: bytes = self.digest(bytes([identifier]) + secret.reveal() + challenge).digest()
        return result


ALGORITHMS = (
    Algorithm(8, "SHA3-256", hashlib.sha3_256, 32),
    Algorithm(7, "SHA-256", hashlib.sha256, 32),
    Algorithm(6, "SHA1", hashlib.sha1, 20),
    Algorithm(5, "MD5", hashlib.md5, 16),
)
"""Strongest first: this order decides, not the initiator's."""


class _Step(Enum):
    ALGORITHM = auto()
    RESPONSE = auto()
    DONE = auto()


Keys = Mapping[str, str]


class ChapExchange:
    """The target's side of one authentication.  ``done`` only once the initiator has proved itself."""

    def __init__(self, policy: ChapPolicy, random_bytes: Callable[[int], bytes]) -> None:
        self._policy = policy
        self._random_bytes = random_bytes
        self._step = _Step.ALGORITHM
        self._algorithm = ALGORITHMS[0]
        self._identifier = 0
        self._challenge = b""

    @property
    def done(self) -> bool:
        """The initiator knows the secret."""
        return self._step is _Step.DONE

    def answer(self, keys: Keys) -> dict[str, str]:
        """The next step; raises :class:`LoginRefused` whatever is wrong, and never says what."""
        if not keys:
            return {}
        needed, allowed, act, following = _STEPS[self._step]
        if not needed <= keys.keys() <= needed | allowed:
            raise LoginRefused(LoginStatus.INITIATOR_ERROR, "CHAP keys out of order")
        try:
            answers = act(self, keys)
        except ValueError as error:
            raise _failure("a CHAP value that is malformed") from error
        self._step = following
        return answers

    def _send_challenge(self, keys: Keys) -> dict[str, str]:
        offered = {parse_number(item) for item in keys["CHAP_A"].split(",")}
        algorithm = next((known for known in ALGORITHMS if known.number in offered), None)
        if algorithm is None:
            raise _failure("no CHAP algorithm in common")
        self._algorithm = algorithm
        self._identifier = self._random_bytes(1)[0]
        self._challenge = self._random_bytes(algorithm.size)
        return {
            "CHAP_A": str(algorithm.number),
            "CHAP_I": str(self._identifier),
            "CHAP_C": build_binary(self._challenge),
        }

    def _verify(self, keys: Keys) -> dict[str, str]:
        policy = self._policy
        expected = self._algorithm.response(self._identifier, policy.secret, self._challenge)
        # Both are compared in any case: the time taken does not tell a wrong name from a wrong secret.
        named = hmac.compare_digest(keys["CHAP_N"].encode(), policy.user.encode())
        proved = hmac.compare_digest(parse_binary(keys["CHAP_R"], limit=limits.CHAP_CHALLENGE), expected)
        if not (named and proved):
            raise _failure("wrong CHAP user or secret")
        return self._prove(keys) if "CHAP_I" in keys or "CHAP_C" in keys else {}

    def _prove(self, keys: Keys) -> dict[str, str]:
        """Answer the initiator's challenge."""
        secret, user = self._policy.mutual_secret, self._policy.mutual_user
        if secret is None or user is None:
            raise _failure("the initiator asks for mutual CHAP, which is not set up")
        if not {"CHAP_I", "CHAP_C"} <= keys.keys():
            raise _failure("half a CHAP challenge")
        identifier = parse_number(keys["CHAP_I"])
        if identifier > 255:
            raise _failure("a CHAP identifier that is too large")
        challenge = parse_binary(keys["CHAP_C"], limit=limits.CHAP_CHALLENGE)
        if challenge == self._challenge:
            raise _failure("our own CHAP challenge came back")  # section 9.2.1: a reflection attack
        proof = self._algorithm.response(identifier, secret, challenge)
        return {"CHAP_N": user, "CHAP_R": build_binary(proof)}


def _failure(reason: str) -> LoginRefused:
    return LoginRefused(LoginStatus.AUTHENTICATION_FAILURE, reason)


_Act = Callable[[ChapExchange, Keys], dict[str, str]]
_NONE: frozenset[str] = frozenset()
_PROOF, _COUNTER_CHALLENGE = frozenset({"CHAP_N", "CHAP_R"}), frozenset({"CHAP_I", "CHAP_C"})

# For each step: the keys it needs, those it may have, what it does, and the step it leads to.
_STEPS: dict[_Step, tuple[frozenset[str], frozenset[str], _Act, _Step]] = {
    _Step.ALGORITHM: (frozenset({"CHAP_A"}), _NONE, ChapExchange._send_challenge, _Step.RESPONSE),
    _Step.RESPONSE: (_PROOF, _COUNTER_CHALLENGE, ChapExchange._verify, _Step.DONE),
    _Step.DONE: (_NONE, _NONE, lambda _exchange, _keys: {}, _Step.DONE),
}
