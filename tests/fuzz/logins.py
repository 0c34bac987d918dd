"""Logins: right ones of every kind, wrong ones, and any sequence of login requests."""

import hashlib
from collections.abc import Callable

from tests.fuzz import setups
from tests.fuzz.choices import Choices, table
from tests.fuzz.player import Player
from twinlock.iscsi.parameters import KEYS
from twinlock.wire.iscsi_requests import LoginRequest

_HASHES = {5: hashlib.md5, 6: hashlib.sha1, 7: hashlib.sha256, 8: hashlib.sha3_256}
_ROUNDS = 8
_NAMES = ("iqn.2026-11.test:a", "iqn.2026-11.test:b", "eui.02004567A425678D")
_CHAP_KEYS = ("CHAP_A", "CHAP_N", "CHAP_R", "CHAP_I", "CHAP_C")
_KEY_NAMES = (*(key.name for key in KEYS), *_CHAP_KEYS, "X-odd", "bad key")
_VALUES = (
    *("Yes", "No", "None", "CRC32C", "CRC32C,None", "CHAP", "CHAP,None", "", "0", "1", "2", "5", "8,7,6,5"),
    *("512", "4096", "16777215", "16777216", "0x00", "0xffff", "0bAAAA", "0b=", "All", "Discovery", "Normal"),
    *(setups.TARGET, setups.LOCKED, _NAMES[0], "x" * 255, "-1", "é", "99999999999999999999"),
)


def text_of(keys: dict[str, str]) -> bytes:
    return b"".join(f"{key}={value}".encode() + b"\0" for key, value in keys.items())


def any_keys(choices: Choices) -> dict[str, str]:
    return {choices.pick(_KEY_NAMES): choices.pick(_VALUES) for _ in range(choices.below(5))}


def identity(player: Player, *, discovery: bool = False) -> dict[str, str]:
    """Who is there, and for what."""
    name = {"InitiatorName": player.choices.pick(_NAMES)}
    kind = {"SessionType": "Discovery"} if discovery else {"TargetName": setups.TARGET}
    return name | kind


def operational(choices: Choices) -> dict[str, str]:
    """A sound negotiation, of small limits for the most part: they make more PDUs."""
    keys = {
        "HeaderDigest": choices.pick(("None", "None", "CRC32C,None")),
        "DataDigest": choices.pick(("None", "None", "CRC32C,None")),
        "InitialR2T": choices.pick(("No", "Yes")),
        "ImmediateData": choices.pick(("Yes", "Yes", "No")),
        "MaxRecvDataSegmentLength": choices.pick(("512", "8192", "262144")),
        "MaxBurstLength": choices.pick(("1024", "8192", "262144")),
        "FirstBurstLength": choices.pick(("512", "1024", "65536")),
        "MaxOutstandingR2T": choices.pick(("1", "4")),
        "ErrorRecoveryLevel": "0",
    }
    return {key: value for key, value in keys.items() if not choices.chance(10)}


def send(player: Player, keys: bytes, stage: int, following: int | None, *, more: bool = False) -> None:
    """One login request."""
    header = LoginRequest(
        transit=following is not None,
        more=more,
        current_stage=stage,
        next_stage=following or 0,
        isid=player.isid,
        cmd_sn=player.cmd_sn,
        exp_stat_sn=player.exp_stat_sn,
    )
    player.put(header, keys)


def _plain(player: Player) -> None:
    send(player, text_of(identity(player) | operational(player.choices)), 1, 3)


def _staged(player: Player) -> None:
    send(player, text_of(identity(player) | {"AuthMethod": "CHAP,None"}), 0, 1)
    send(player, text_of(operational(player.choices)), 1, 3)


def _straight(player: Player) -> None:
    """From security to full feature, and all values the defaults."""
    send(player, text_of(identity(player) | {"AuthMethod": "None"}), 0, 3)


def _discovery(player: Player) -> None:
    choices = player.choices
    if choices.chance(50):
        send(player, text_of(identity(player, discovery=True) | {"AuthMethod": "None"}), 0, 1)
        send(player, b"", 1, 3)
    else:
        segment = {"MaxRecvDataSegmentLength": choices.pick(("512", "8192"))}
        send(player, text_of(identity(player, discovery=True) | segment), 1, 3)


def _split(player: Player) -> None:
    """A text in pieces, by the C bit."""
    text = text_of(identity(player) | operational(player.choices))
    at = player.choices.below(len(text))
    send(player, text[:at], 1, None, more=True)
    send(player, text[at:], 1, 3)


def _chap(player: Player) -> None:
    _authenticate(player, setups.SECRET)


def _wrong_chap(player: Player) -> None:
    _authenticate(player, player.choices.pick((b"a wrong secret 3", setups.MUTUAL_SECRET, b"")))


def _partial_chap(player: Player) -> None:
    """Keys are missing, malformed or out of order."""
    _authenticate(player, setups.SECRET, spoil=True)


def _authenticate(player: Player, secret: bytes, *, spoil: bool = False) -> None:
    choices = player.choices
    send(player, text_of(identity(player) | {"AuthMethod": "CHAP,None"}), 0, None)
    algorithms = choices.pick(("5", "8,7,6,5", "6,5", "7", "99"))
    send(player, text_of(_spoiled(choices, {"CHAP_A": algorithms}, spoil=spoil)), 0, None)
    answer = _answer(player, secret)
    if choices.chance(50):
        answer |= {"CHAP_I": "17", "CHAP_C": "0x" + choices.bytes(16).hex()}
    following = choices.pick((1, 1, 3))
    send(player, text_of(_spoiled(choices, answer, spoil=spoil)), 0, following)
    if following == 1:
        send(player, text_of(operational(choices)), 1, 3)


def _spoiled(choices: Choices, keys: dict[str, str], *, spoil: bool) -> dict[str, str]:
    if not spoil:
        return keys
    kept = {key: value for key, value in keys.items() if not choices.chance(30)}
    return kept | {choices.pick(_CHAP_KEYS): choices.pick(_VALUES)}


def _answer(player: Player, secret: bytes) -> dict[str, str]:
    """CHAP_N and CHAP_R for the challenge that came, if one came."""
    player.flush()
    agreed = player.agreed
    try:
        algorithm, number = _HASHES[int(agreed["CHAP_A"])], int(agreed["CHAP_I"])
        challenge = bytes.fromhex(agreed["CHAP_C"].removeprefix("0x"))
    except (KeyError, ValueError):
        return {"CHAP_N": setups.USER, "CHAP_R": "0x00"}
    return {
        "CHAP_N": setups.USER,
        "CHAP_R": "0x" + algorithm(bytes([number]) + secret + challenge).hexdigest(),
    }


def _any(player: Player) -> None:
    """Login requests of any stage, with any keys."""
    choices = player.choices
    for number in range(choices.below(_ROUNDS)):
        keys = (identity(player) if number == 0 and choices.chance(70) else {}) | any_keys(choices)
        following = choices.pick((None, 1, 3, 2, 0))
        send(player, text_of(keys), choices.below(4), following, more=choices.chance(10))


Script = Callable[[Player], None]
_WRONG = ((1, _wrong_chap), (1, _partial_chap), (2, _any))
_SCRIPTS: dict[str, tuple[Script, ...]] = {
    "open": table((8, _plain), (4, _staged), (1, _straight), (2, _discovery), (2, _split), *_WRONG),
    "chap": table((12, _chap), (1, _plain), (1, _discovery), *_WRONG),
    "mutual": table((12, _chap), (1, _plain), (1, _discovery), *_WRONG),
}


def log_in(player: Player) -> None:
    """A login, by a script that mostly suits the target."""
    player.choices.pick(_SCRIPTS[player.link.policy])(player)
    player.flush()
