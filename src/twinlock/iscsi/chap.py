"""CHAP, one-way and mutual (RFC 7143 section 12.1.3, RFC 1994; algorithms of RFC 7143 and IANA's registry).

The exchange has two steps, of which ``CHAP`` is the table: the initiator names
algorithms and is challenged; it answers, perhaps with a challenge of its own, and is
answered.  Whatever else it sends is the end.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from twinlock.errors import ChapSecretUnusable
from twinlock.iscsi import limits
from twinlock.iscsi.errors import LoginRefused
from twinlock.iscsi.machine import StateMachine
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


class ChapState(StrEnum):
    """What is expected of the initiator."""

    ALGORITHMS = "algorithms wanted"
    PROOF = "proof wanted"
    DONE = "authenticated"
    FAILED = "failed"


class ChapKeys(StrEnum):
    """Which of CHAP's keys a request holds."""

    NONE = "no CHAP keys"
    ALGORITHMS = "CHAP_A"
    PROOF = "CHAP_N, CHAP_R"
    PROOF_AND_CHALLENGE = "CHAP_N, CHAP_R, CHAP_I or CHAP_C"
    OTHER = "other CHAP keys"


Keys = Mapping[str, str]


class ChapExchange:
    """The target's side of one authentication.  ``done`` only once the initiator has proved itself."""

    def __init__(self, policy: ChapPolicy, random_bytes: Callable[[int], bytes]) -> None:
        self.state = CHAP.start
        self._policy = policy
        self._random_bytes = random_bytes
        self._algorithm = ALGORITHMS[0]
        self._identifier = 0
        self._challenge = b""

    @property
    def done(self) -> bool:
        """The initiator knows the secret."""
        return self.state is ChapState.DONE

    def answer(self, keys: Keys) -> dict[str, str]:
        """The next step; raises :class:`LoginRefused` whatever is wrong, and never says what."""
        following, act = CHAP.steps[self.state, _kind(keys)]
        self.state = ChapState.FAILED  # unless all goes well
        try:
            answers = act(self, keys)
        except ValueError as error:
            raise _failure("a CHAP value that is malformed") from error
        self.state = following
        return answers

    def _answer_nothing(self, _keys: Keys) -> dict[str, str]:
        return {}

    def _refuse(self, _keys: Keys) -> dict[str, str]:
        raise LoginRefused(LoginStatus.INITIATOR_ERROR, "CHAP keys out of order")

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
        """See whether the initiator knows the secret."""
        policy = self._policy
        expected = self._algorithm.response(self._identifier, policy.secret, self._challenge)
        # Both are compared in any case: the time taken does not tell a wrong name from a wrong secret.
        named = hmac.compare_digest(keys["CHAP_N"].encode(), policy.user.encode())
        proved = hmac.compare_digest(parse_binary(keys["CHAP_R"], limit=limits.CHAP_CHALLENGE), expected)
        if not (named and proved):
            raise _failure("wrong CHAP user or secret")
        return {}

    def _verify_and_prove(self, keys: Keys) -> dict[str, str]:
        """The same, and then answer the initiator's own challenge."""
        self._verify(keys)
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
_PROOF, _CHALLENGE = frozenset({"CHAP_N", "CHAP_R"}), frozenset({"CHAP_I", "CHAP_C"})


def _kind(keys: Keys) -> ChapKeys:
    names = keys.keys()
    if not names:
        return ChapKeys.NONE
    if names == {"CHAP_A"}:
        return ChapKeys.ALGORITHMS
    if names == _PROOF:
        return ChapKeys.PROOF
    return ChapKeys.PROOF_AND_CHALLENGE if _PROOF < names <= _PROOF | _CHALLENGE else ChapKeys.OTHER


CHAP: StateMachine[ChapState, ChapKeys, _Act] = StateMachine(
    "CHAP",
    "RFC 7143 section 12.1.3",
    states=ChapState,
    events=ChapKeys,
    arrows={
        (ChapState.ALGORITHMS, ChapKeys.NONE): (ChapState.ALGORITHMS, ChapExchange._answer_nothing),
        (ChapState.ALGORITHMS, ChapKeys.ALGORITHMS): (ChapState.PROOF, ChapExchange._send_challenge),
        (ChapState.PROOF, ChapKeys.NONE): (ChapState.PROOF, ChapExchange._answer_nothing),
        (ChapState.PROOF, ChapKeys.PROOF): (ChapState.DONE, ChapExchange._verify),
        (ChapState.PROOF, ChapKeys.PROOF_AND_CHALLENGE): (ChapState.DONE, ChapExchange._verify_and_prove),
        (ChapState.DONE, ChapKeys.NONE): (ChapState.DONE, ChapExchange._answer_nothing),
    },
    otherwise=(ChapState.FAILED, ChapExchange._refuse),
    final=(ChapState.DONE, ChapState.FAILED),
)
