"""The login phase as a state machine: which stage, which keys, and when it is over (RFC 7143 section 6.3).

``STAGES`` says which stage may follow which, ``_KEYS_OF_STAGE`` what each stage does
with the keys it gets.  A request's T bit is a wish: it is granted once the stage
has nothing left to do, which suits initiators that set it on every request.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from typing_extensions import Buffer

from twinlock.errors import ProtocolError
from twinlock.iscsi import limits
from twinlock.iscsi.chap import ChapExchange, ChapPolicy
from twinlock.iscsi.directory import TargetDirectory, TargetEntry
from twinlock.iscsi.errors import LoginRefused
from twinlock.iscsi.machine import StateMachine
from twinlock.iscsi.negotiation import Negotiation
from twinlock.iscsi.parameters import Parameters
from twinlock.iscsi.session import SessionInfo, SessionType
from twinlock.iscsi.text import TextCollector
from twinlock.wire.iscsi_codes import LoginStatus, Stage
from twinlock.wire.iscsi_requests import LoginRequest
from twinlock.wire.iscsi_text import build_pairs
from twinlock.wire.structure import Malformed

PORTAL_GROUP = "1"
"""All portals lead to the same targets, so there is one group (section 13.9)."""


class Wish(StrEnum):
    """What a login request wants next: its T bit and NSG field, seen against the authentication."""

    STAY = "no T bit"
    UNTIMELY = "T bit, CHAP under way"
    UNPROVEN = "T bit, no CHAP begun"
    OPERATIONAL = "T bit to operational"
    FULL_FEATURE = "T bit to full feature"
    NOWHERE = "T bit to another stage"


_WISHES: dict[int, Wish] = {
    Stage.OPERATIONAL: Wish.OPERATIONAL,
    Stage.FULL_FEATURE: Wish.FULL_FEATURE,
}
_IDENTITY = ("InitiatorName", "SessionType", "TargetName", "InitiatorAlias")


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the owner wants of every login on a connection."""

    parameters: Parameters
    discovery_authentication: ChapPolicy | None
    session_types: frozenset[SessionType] = frozenset(SessionType)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the next login response says."""

    text: bytes = b""
    next_stage: Stage | None = None
    """The stage that begins now (the T bit), None to go on in this one."""


class LoginPhase:
    """One login, from the first request until the full feature phase or a refusal."""

    def __init__(
        self, directory: TargetDirectory, preferences: Preferences, random_bytes: Callable[[int], bytes]
    ) -> None:
        self.negotiation = Negotiation(preferences.parameters, discovery=False)
        self._directory = directory
        self._preferences = preferences
        self._random_bytes = random_bytes
        self._collector = TextCollector()
        self._first: LoginRequest | None = None
        self._stage = Stage.SECURITY
        self._rounds = 0
        self._identity: dict[str, str] = {}
        self._entry: TargetEntry | None = None
        self._policy: ChapPolicy | None = None
        self._chap: ChapExchange | None = None
        self._declared = False

    def step(self, header: LoginRequest, data: Buffer) -> Answer:
        """Answer one login request; raises :class:`LoginRefused`."""
        try:
            self._check(header)
            keys = self._collector.add(data, more=header.more)
            if keys is None:
                return Answer()
            answers = self._identify(keys) | _KEYS_OF_STAGE[self._stage](self, keys)
            return self._proceed(header, answers)
        except LoginRefused:
            raise
        except (ProtocolError, Malformed) as error:
            raise _initiator_error(str(error)) from error

    def session(self, tsih: int) -> SessionInfo:
        """The session that a finished login has made."""
        assert self._first is not None
        return SessionInfo(
            initiator_name=self._identity["InitiatorName"],
            isid=self._first.isid,
            tsih=tsih,
            cid=self._first.cid,
            session_type=self._session_type,
            target_name=self._entry.name if self._entry else None,
            initiator_alias=self._identity["InitiatorAlias"],
            user=self._policy.user if self._policy else None,
            parameters=self.negotiation.parameters,
        )

    # -- the header -------------------------------------------------------------------------------

    def _check(self, header: LoginRequest) -> None:
        self._rounds += 1
        if self._rounds > limits.LOGIN_ROUNDS:
            raise _initiator_error("a login that does not end")
        if self._first is None:
            self._check_first(header)
            self._first, self._stage = header, Stage(header.current_stage)
        first = self._first
        if (header.isid, header.tsih, header.cid) != (first.isid, first.tsih, first.cid):
            raise _initiator_error("a login request of another connection")
        if header.current_stage != self._stage:
            raise _initiator_error("a login request of the wrong stage")
        if header.transit and header.more:
            raise _initiator_error("a transition in the middle of a text")

    def _check_first(self, header: LoginRequest) -> None:
        if header.version_min > 0:
            raise LoginRefused(LoginStatus.UNSUPPORTED_VERSION, "a later version of iSCSI")
        if header.tsih:
            raise LoginRefused(LoginStatus.SESSION_DOES_NOT_EXIST, "a further connection of a session")
        if header.current_stage not in (Stage.SECURITY, Stage.OPERATIONAL):
            raise _initiator_error("a login that begins in no stage of the login")

    def _proceed(self, header: LoginRequest, answers: dict[str, str]) -> Answer:
        self._stage, act = STAGES.steps[self._stage, self._wish(header)]
        return Answer(build_pairs(answers), act(self))

    def _wish(self, header: LoginRequest) -> Wish:
        if not header.transit:
            return Wish.STAY
        wish = _WISHES.get(header.next_stage, Wish.NOWHERE)
        if self._authenticated or wish is Wish.NOWHERE:
            return wish
        return Wish.UNPROVEN if self._chap is None else Wish.UNTIMELY

    def _go_on(self) -> None:
        """There is more to be said in this stage."""

    def _enter(self) -> Stage:
        """The new stage begins, for those who may come in."""
        if self._entry is not None and not self._entry.permits(self._identity["InitiatorName"]):
            raise LoginRefused(LoginStatus.AUTHORIZATION_FAILURE, "this initiator is not permitted")
        return self._stage

    def _refuse_stranger(self) -> None:
        raise _not_authenticated()

    def _refuse_transition(self) -> None:
        raise _initiator_error("a transition to a stage that cannot follow")

    # -- who it is --------------------------------------------------------------------------------

    def _identify(self, keys: dict[str, str]) -> dict[str, str]:
        """Take the names out of ``keys``; later requests may repeat but not change them."""
        named = {name: keys.pop(name) for name in _IDENTITY if name in keys}
        if self._identity:
            if not named.items() <= self._identity.items():
                raise _initiator_error("a name that changes during login")
            return {}
        self._check_names(named)
        self._identity = {"SessionType": SessionType.NORMAL.value, "InitiatorAlias": ""} | named
        return self._find_target()

    def _check_names(self, named: dict[str, str]) -> None:
        if not named.get("InitiatorName"):
            raise LoginRefused(LoginStatus.MISSING_PARAMETER, "no InitiatorName")
        if any(len(value.encode()) > limits.NAME_LENGTH for value in named.values()):
            raise _initiator_error("a name that is too long")
        if named.get("SessionType", SessionType.NORMAL) not in set(SessionType):
            raise LoginRefused(LoginStatus.SESSION_TYPE_NOT_SUPPORTED, "an unknown SessionType")

    @property
    def _session_type(self) -> SessionType:
        return SessionType(self._identity["SessionType"])

    def _find_target(self) -> dict[str, str]:
        if self._session_type not in self._preferences.session_types:
            raise LoginRefused(LoginStatus.SESSION_TYPE_NOT_SUPPORTED, "this SessionType is not served here")
        if self._session_type is SessionType.DISCOVERY:
            self.negotiation = Negotiation(self._preferences.parameters, discovery=True)
            self._policy = self._preferences.discovery_authentication
            return {}
        name = self._identity.get("TargetName")
        if not name:
            raise LoginRefused(LoginStatus.MISSING_PARAMETER, "no TargetName")
        entry = self._entry = self._directory.find(name)
        if entry is None:
            raise LoginRefused(LoginStatus.TARGET_NOT_FOUND, "no such target")
        if not entry.available:
            raise LoginRefused(LoginStatus.SERVICE_UNAVAILABLE, "the target is not available")
        self._policy = entry.authentication
        alias = {"TargetAlias": entry.alias} if entry.alias else {}
        return {**alias, "TargetPortalGroupTag": PORTAL_GROUP}

    # -- security ---------------------------------------------------------------------------------

    @property
    def _authenticated(self) -> bool:
        return self._policy is None or (self._chap is not None and self._chap.done)

    def _secure(self, keys: dict[str, str]) -> dict[str, str]:
        answers = self._choose_method(keys)
        chap = {name: keys.pop(name) for name in list(keys) if name.startswith("CHAP_")}
        if self._chap is not None:
            answers |= self._chap.answer(chap)
        elif chap:
            raise _initiator_error("CHAP without AuthMethod=CHAP")
        return answers | self.negotiation.answer(keys, Stage.SECURITY)

    def _choose_method(self, keys: dict[str, str]) -> dict[str, str]:
        offered = keys.pop("AuthMethod", None)
        if offered is None:
            return {}
        if self._chap is not None:
            raise _initiator_error("AuthMethod was negotiated before")
        method = "None" if self._policy is None else "CHAP"
        if method not in offered.split(","):
            raise _not_authenticated()
        if self._policy is not None:
            self._chap = ChapExchange(self._policy, self._random_bytes)
        return {"AuthMethod": method}

    # -- operational parameters -------------------------------------------------------------------

    def _operate(self, keys: dict[str, str]) -> dict[str, str]:
        if not self._authenticated:
            raise _not_authenticated()
        return self._declare() | self.negotiation.answer(keys, Stage.OPERATIONAL)

    def _declare(self) -> dict[str, str]:
        if self._declared:
            return {}
        self._declared = True
        return {"MaxRecvDataSegmentLength": str(segment_limit(self._session_type))}


def segment_limit(session_type: SessionType) -> int:
    """Bytes of a data segment we accept in the full feature phase; a discovery session needs few."""
    discovery = session_type is SessionType.DISCOVERY
    return limits.LOGIN_DATA_SEGMENT if discovery else limits.RECEIVE_DATA_SEGMENT


def _initiator_error(reason: str) -> LoginRefused:
    return LoginRefused(LoginStatus.INITIATOR_ERROR, reason)


def _not_authenticated() -> LoginRefused:
    return LoginRefused(LoginStatus.AUTHENTICATION_FAILURE, "the target demands another authentication")


_KEYS_OF_STAGE: dict[Stage, Callable[[LoginPhase, dict[str, str]], dict[str, str]]] = {
    Stage.SECURITY: LoginPhase._secure,
    Stage.OPERATIONAL: LoginPhase._operate,
}
STAGES: StateMachine[Stage, Wish, Callable[[LoginPhase], Stage | None]] = StateMachine(
    "The stages of a login",
    "RFC 7143 section 6.3",
    states=Stage,
    events=Wish,
    arrows={
        (Stage.SECURITY, Wish.STAY): (Stage.SECURITY, LoginPhase._go_on),
        (Stage.SECURITY, Wish.UNTIMELY): (Stage.SECURITY, LoginPhase._go_on),
        (Stage.SECURITY, Wish.UNPROVEN): (Stage.SECURITY, LoginPhase._refuse_stranger),
        (Stage.SECURITY, Wish.OPERATIONAL): (Stage.OPERATIONAL, LoginPhase._enter),
        (Stage.SECURITY, Wish.FULL_FEATURE): (Stage.FULL_FEATURE, LoginPhase._enter),
        (Stage.OPERATIONAL, Wish.STAY): (Stage.OPERATIONAL, LoginPhase._go_on),
        (Stage.OPERATIONAL, Wish.FULL_FEATURE): (Stage.FULL_FEATURE, LoginPhase._enter),
    },
    otherwise=(None, LoginPhase._refuse_transition),
    starts=(Stage.SECURITY, Stage.OPERATIONAL),
    final=(Stage.FULL_FEATURE,),
)
