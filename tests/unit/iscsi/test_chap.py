"""CHAP by itself; vectors computed here by hashlib, not by the code under test."""

import base64
import hashlib
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.iscsi.support import POLICY, random_bytes
from twinlock.errors import ChapSecretUnusable
from twinlock.iscsi.chap import ALGORITHMS, ChapExchange, ChapPolicy, Secret
from twinlock.iscsi.errors import LoginRefused
from twinlock.wire.iscsi_codes import LoginStatus

HASHES = {5: hashlib.md5, 6: hashlib.sha1, 7: hashlib.sha256, 8: hashlib.sha3_256}
ONE_WAY = ChapPolicy("owner", Secret("a long secret 1"))


def exchange(policy: ChapPolicy = POLICY) -> ChapExchange:
    return ChapExchange(policy, random_bytes())


def proof(challenge: dict[str, str], secret: bytes = b"a long secret 1") -> bytes:
    message = bytes([int(challenge["CHAP_I"])]) + secret + bytes.fromhex(challenge["CHAP_C"][2:])
    return HASHES[int(challenge["CHAP_A"])](message).digest()


def refused(chap: ChapExchange, **keys: str) -> LoginStatus:
    with pytest.raises(LoginRefused) as caught:
        chap.answer(keys)
    assert not chap.done
    assert "secret 1" not in str(caught.value)
    return caught.value.status


def test_a_published_vector() -> None:
    """RFC 1994's formula with MD5 of the RFC 1321 suite: identifier "a", secret "b", challenge "c"."""
    md5 = next(algorithm for algorithm in ALGORITHMS if algorithm.number == 5)
    assert md5.response(ord("a"), Secret("b"), b"c").hex() == "900150983cd24fb0d6963f7d28e17f72"


@pytest.mark.parametrize(
    ("number", "digest"),
    [
        (6, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (7, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (8, "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
    ],
)
def test_the_vectors_of_fips_180_and_202(number: int, digest: str) -> None:
    algorithm = next(known for known in ALGORITHMS if known.number == number)
    assert algorithm.response(ord("a"), Secret("b"), b"c").hex() == digest
    assert algorithm.size == len(digest) // 2


@pytest.mark.parametrize(
    ("offered", "chosen"), [("5", "5"), ("5,6", "6"), ("7,5", "7"), ("5,6,7,8", "8"), ("99,0x5", "5")]
)
def test_the_strongest_algorithm_is_chosen(offered: str, chosen: str) -> None:
    challenge = exchange().answer({"CHAP_A": offered})
    assert challenge["CHAP_A"] == chosen
    assert len(bytes.fromhex(challenge["CHAP_C"][2:])) == HASHES[int(chosen)]().digest_size


@pytest.mark.parametrize("offered", ["4", "", "MD5", "-5", "5;6"])
def test_no_algorithm_in_common(offered: str) -> None:
    assert refused(exchange(), CHAP_A=offered) is LoginStatus.AUTHENTICATION_FAILURE


@pytest.mark.parametrize("number", HASHES)
@pytest.mark.parametrize(
    "encode", [lambda value: "0x" + value.hex(), lambda value: "0b" + base64.b64encode(value).decode()]
)
def test_a_right_answer(number: int, encode: Any) -> None:
    chap = exchange()
    challenge = chap.answer({"CHAP_A": str(number)})
    assert not chap.done
    assert chap.answer({"CHAP_N": "owner", "CHAP_R": encode(proof(challenge))}) == {}
    assert chap.done


@pytest.mark.parametrize("number", HASHES)
def test_mutual(number: int) -> None:
    chap = exchange()
    challenge = chap.answer({"CHAP_A": str(number)})
    keys = {"CHAP_N": "owner", "CHAP_R": "0x" + proof(challenge).hex(), "CHAP_I": "200", "CHAP_C": "0xabcdef"}
    answer = chap.answer(keys)
    expected = HASHES[number](b"\xc8another secret 2\xab\xcd\xef").hexdigest()
    assert answer == {"CHAP_N": "target", "CHAP_R": "0x" + expected}


def test_every_exchange_has_its_own_challenge() -> None:
    source = random_bytes()
    first, second = (ChapExchange(POLICY, source).answer({"CHAP_A": "7"}) for _ in range(2))
    assert first["CHAP_C"] != second["CHAP_C"]


def test_names_that_look_like_numbers_are_names() -> None:
    policy = ChapPolicy("0xabc", Secret("a long secret 1"))
    chap = exchange(policy)
    challenge = chap.answer({"CHAP_A": "5"})
    chap.answer({"CHAP_N": "0xabc", "CHAP_R": "0x" + proof(challenge).hex()})
    assert chap.done


WRONG: list[dict[str, str]] = [
    {"CHAP_N": "other"},
    {"CHAP_N": "Owner"},
    {"CHAP_R": "0x" + bytes(16).hex()},
    {"CHAP_R": "0x00"},
    {"CHAP_R": "nothing"},
    {"CHAP_R": "0x" + bytes(1025).hex()},
    {"CHAP_I": "1"},
    {"CHAP_C": "0x1234"},
    {"CHAP_I": "256", "CHAP_C": "0x1234"},
    {"CHAP_I": "1", "CHAP_C": "0x" + bytes(1025).hex()},
    {"CHAP_I": "1", "CHAP_C": "1234"},
]


@pytest.mark.parametrize("change", WRONG)
def test_wrong_answers(change: dict[str, str]) -> None:
    chap = exchange()
    challenge = chap.answer({"CHAP_A": "5"})
    keys = {"CHAP_N": "owner", "CHAP_R": "0x" + proof(challenge).hex()} | change
    assert refused(chap, **keys) is LoginStatus.AUTHENTICATION_FAILURE


def test_our_own_challenge_is_not_answered() -> None:
    chap = exchange()
    challenge = chap.answer({"CHAP_A": "5"})
    keys = {"CHAP_N": "owner", "CHAP_R": "0x" + proof(challenge).hex()}
    keys |= {"CHAP_I": "1", "CHAP_C": challenge["CHAP_C"]}
    assert refused(chap, **keys) is LoginStatus.AUTHENTICATION_FAILURE


def test_mutual_that_is_not_set_up() -> None:
    chap = exchange(ONE_WAY)
    challenge = chap.answer({"CHAP_A": "5"})
    keys = {"CHAP_N": "owner", "CHAP_R": "0x" + proof(challenge).hex(), "CHAP_I": "1", "CHAP_C": "0x12"}
    assert refused(chap, **keys) is LoginStatus.AUTHENTICATION_FAILURE


@pytest.mark.parametrize("keys", [{"CHAP_N": "owner", "CHAP_R": "0x00"}, {"CHAP_A": "5", "CHAP_N": "x"}])
def test_keys_out_of_order(keys: dict[str, str]) -> None:
    assert refused(exchange(), **keys) is LoginStatus.INITIATOR_ERROR


def test_a_second_challenge_is_not_to_be_had() -> None:
    chap = exchange()
    chap.answer({"CHAP_A": "5"})
    assert refused(chap, CHAP_A="5") is LoginStatus.INITIATOR_ERROR


def test_nothing_follows_success() -> None:
    chap = exchange()
    challenge = chap.answer({"CHAP_A": "5"})
    chap.answer({"CHAP_N": "owner", "CHAP_R": "0x" + proof(challenge).hex()})
    assert chap.answer({}) == {}
    assert chap.done
    assert refused(chap, CHAP_A="5") is LoginStatus.INITIATOR_ERROR


CHAP_KEYS = ["CHAP_A", "CHAP_I", "CHAP_C", "CHAP_N", "CHAP_R"]
VALUES = st.one_of(st.text(max_size=10), st.sampled_from(["5", "8", "owner", "0x00", "0b", "0x" + "00" * 32]))


@given(st.lists(st.dictionaries(st.sampled_from(CHAP_KEYS), VALUES), max_size=5))
def test_nothing_but_the_secret_opens(rounds: list[dict[str, str]]) -> None:
    chap = exchange()
    for keys in rounds:
        try:
            chap.answer(keys)
        except LoginRefused:
            break
    assert not chap.done


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("", Secret("a long secret 1")), "empty"),
        (("owner", Secret("elevenbytes")), "at least 12"),
        (("owner", Secret("")), "at least 12"),
        (("owner", Secret("a long secret 1"), "target", Secret("short")), "at least 12"),
        (("owner", Secret("a long secret 1"), "target", Secret("a long secret 1")), "different"),
        (("owner", Secret("a long secret 1"), "target", None), "belong together"),
        (("owner", Secret("a long secret 1"), None, Secret("another secret 2")), "belong together"),
    ],
)
def test_policies_that_the_standard_forbids(arguments: Any, reason: str) -> None:
    with pytest.raises(ChapSecretUnusable, match=reason) as caught:
        ChapPolicy(*arguments)
    assert "a long secret" not in str(caught.value)


def test_a_secret_does_not_show() -> None:
    secret = Secret("a long secret 1")
    for shown in (repr(secret), str(secret), f"{secret}", repr(POLICY), repr(exchange())):
        assert "long" not in shown
    assert secret.reveal() == b"a long secret 1"
    assert (secret == Secret(b"a long secret 1"), secret == Secret("b"), secret == "a long secret 1") == (
        True,
        False,
        False,
    )
    assert hash(secret) == hash(Secret(b"a long secret 1"))
    assert pickle.loads(pickle.dumps(secret)) == secret
