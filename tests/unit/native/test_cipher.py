"""The sector cipher against published vectors, against other implementations, and from many threads."""

import hashlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.native import CipherName, KeyBuffer, SectorCipher
from twinlock.native._native import ffi, lib
from twinlock.native.cipher import KEY_SIZES, SECTOR_SIZES

VECTORS = Path(__file__).parents[2] / "vectors"
XTS, ESSIV = CipherName.AES_XTS_PLAIN64, CipherName.AES_CBC_ESSIV_SHA256
VARIANTS = [(name, key, sector) for name in CipherName for key in KEY_SIZES[name] for sector in SECTOR_SIZES]


def cipher_of(name: str, key: bytes, sector_size: int) -> SectorCipher:
    with KeyBuffer(len(key)) as buffer:
        buffer.load(key)
        return SectorCipher(name, buffer, sector_size)


def run_unit(mode: int, key: bytes, direction: int, data: bytes, sector512: int) -> bytes:
    """One unit of any length through the C function that runs sectors."""
    cipher = ffi.gc(lib.tl_cipher_new(mode, key, len(key), len(data)), lib.tl_cipher_free)
    result = ffi.new("uint8_t[]", len(data))
    assert lib.tl_cipher_run(cipher, direction, data, result, len(data), sector512) == 1
    return bytes(result)


def check_unit(mode: int, key: bytes, sector512: int, plaintext: bytes, ciphertext: bytes) -> None:
    assert run_unit(mode, key, lib.TL_ENCRYPT, plaintext, sector512) == ciphertext
    assert run_unit(mode, key, lib.TL_DECRYPT, ciphertext, sector512) == plaintext


# -- published vectors ----------------------------------------------------------------------------


def nist_vectors(file: str) -> Iterator[dict[str, str]]:
    folder = resources.files("cryptography_vectors") / "ciphers/AES/XTS/tweak-dataunitseqno"
    entry: dict[str, str] = {}
    for line in (folder / file).read_text().splitlines():
        name, equals, value = line.partition(" = ")
        if equals:
            entry[name] = value
        elif not line.strip() and "PT" in entry:
            yield entry
            entry = {}


@pytest.mark.parametrize("file", ["XTSGenAES128.rsp", "XTSGenAES256.rsp"])
def test_nist_xts(file: str) -> None:
    whole = [vector for vector in nist_vectors(file) if int(vector["DataUnitLen"]) % 8 == 0]
    assert len(whole) >= 600
    for vector in whole:
        key, plaintext, ciphertext = (bytes.fromhex(vector[name]) for name in ("Key", "PT", "CT"))
        check_unit(lib.TL_XTS_PLAIN64, key, int(vector["DataUnitSeqNumber"]), plaintext, ciphertext)


def test_wycheproof_xts() -> None:
    groups = json.loads((VECTORS / "wycheproof_aes_xts.json").read_text())["testGroups"]
    used = [test for group in groups if group["keySize"] in (256, 512) for test in group["tests"]]
    used = [test for test in used if len(test["iv"]) <= 16]
    assert len(used) >= 50
    for test in used:
        assert test["result"] == "valid"
        key, iv, plaintext, ciphertext = (bytes.fromhex(test[name]) for name in ("key", "iv", "msg", "ct"))
        check_unit(lib.TL_XTS_PLAIN64, key, int.from_bytes(iv, "little"), plaintext, ciphertext)


def test_ieee_1619_whole_sectors() -> None:
    document = json.loads((VECTORS / "ieee1619_aes_xts.json").read_text())
    cipher = cipher_of(XTS, bytes.fromhex("".join(document["key"])), 512)
    plaintext = bytes(range(256)) * 2
    for vector in document["vectors"]:
        ciphertext = bytes.fromhex("".join(vector["ciphertext"]))
        assert cipher.encrypt(plaintext, vector["sector"]) == ciphertext
        assert cipher.decrypt(ciphertext, vector["sector"]) == plaintext


def test_linux_essiv() -> None:
    for vector in json.loads((VECTORS / "linux_aes_cbc_essiv.json").read_text())["vectors"]:
        key, sector, plaintext, ciphertext = (
            bytes.fromhex(vector[name]) for name in ("key", "sector_le", "plaintext", "ciphertext")
        )
        check_unit(lib.TL_CBC_ESSIV_SHA256, key, int.from_bytes(sector, "little"), plaintext, ciphertext)


# -- another composition of the same definitions: the openssl command -----------------------------


def openssl(algorithm: str, key: bytes, data: bytes, *iv: str) -> bytes:
    command = ["openssl", "enc", f"-aes-{8 * len(key)}-{algorithm}", "-nopad", "-K", key.hex(), *iv]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("key_size", KEY_SIZES[ESSIV])
@pytest.mark.parametrize("sector_size", [512, 4096])
def test_essiv_of_several_sectors(key_size: int, sector_size: int) -> None:
    key = bytes(range(key_size))
    first, step = 1 << 40, sector_size // 512
    plaintext = bytes(range(256)) * (3 * sector_size // 256)
    expected = b""
    for number in range(3):
        sector = (first + number * step).to_bytes(16, "little")
        iv = openssl("ecb", hashlib.sha256(key).digest(), sector)
        part = plaintext[number * sector_size : (number + 1) * sector_size]
        expected += openssl("cbc", key, part, "-iv", iv.hex())
    assert cipher_of(ESSIV, key, sector_size).encrypt(plaintext, first) == expected


# -- properties -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "key_size", "sector_size"), VARIANTS)
def test_sectors_are_independent_and_numbered_in_512_bytes(
    name: CipherName, key_size: int, sector_size: int
) -> None:
    cipher = cipher_of(name, bytes(range(key_size)), sector_size)
    step = sector_size // 512
    plaintext = bytes(5 * sector_size)
    together = bytes(cipher.encrypt(plaintext, 8 * step))
    sectors = [bytes(cipher.encrypt(plaintext[:sector_size], (8 + number) * step)) for number in range(5)]
    assert together == b"".join(sectors)
    assert len(set(sectors)) == 5


@given(
    variant=st.sampled_from(VARIANTS),
    sectors=st.integers(0, 9),
    first=st.integers(0, 2**52 - 16),
    data=st.data(),
)
def test_decryption_undoes_encryption(
    variant: tuple[CipherName, int, int], sectors: int, first: int, data: st.DataObject
) -> None:
    name, key_size, sector_size = variant
    key = data.draw(st.binary(min_size=key_size, max_size=key_size).filter(lambda key: len(set(key)) > 8))
    plaintext = data.draw(st.binary(min_size=16, max_size=16)) * (sectors * sector_size // 16)
    cipher = cipher_of(name, key, sector_size)
    sector512 = first * (sector_size // 512)
    ciphertext = cipher.encrypt(plaintext, sector512)
    assert cipher.decrypt(ciphertext, sector512) == plaintext
    assert not sectors or ciphertext != plaintext


def test_any_buffer_serves_and_is_left_alone() -> None:
    cipher = cipher_of(XTS, bytes(range(64)), 512)
    plaintext = bytearray(b"x" * 1024)
    expected = bytes(cipher.encrypt(bytes(plaintext), 7))
    for data in (plaintext, memoryview(plaintext), memoryview(b"yy" + bytes(plaintext))[2:]):
        assert cipher.encrypt(data, 7) == expected
    assert plaintext == b"x" * 1024


def test_many_threads_share_one_cipher() -> None:
    cipher = cipher_of(ESSIV, bytes(range(32)), 512)
    inputs = [bytes([number]) * 65536 for number in range(8)]
    expected = [bytes(cipher.encrypt(data, number)) for number, data in enumerate(inputs)]
    together = threading.Barrier(len(inputs))

    def work(number: int) -> bool:
        together.wait()
        return all(
            cipher.encrypt(inputs[number], number) == expected[number]
            and cipher.decrypt(expected[number], number) == inputs[number]
            for _ in range(20)
        )

    with ThreadPoolExecutor(len(inputs)) as pool:
        assert all(pool.map(work, range(len(inputs))))


def test_others_run_during_a_call() -> None:
    """No thread is made to give way for a minute, so it must be the call that lets others run."""
    cipher = cipher_of(XTS, bytes(range(64)), 512)
    data = bytes(32 << 20)
    before = sys.getswitchinterval()
    sys.setswitchinterval(60)
    try:
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(cipher.encrypt, data, 0)
            turns = 0
            while not running.done():
                turns += 1
                time.sleep(0.0001)
    finally:
        sys.setswitchinterval(before)
    assert turns > 5


def test_closing_under_a_call_is_safe() -> None:
    cipher = cipher_of(XTS, bytes(range(64)), 4096)
    data = bytes(16 << 20)
    expected = hashlib.sha256(cipher.encrypt(data, 0)).digest()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(cipher.encrypt, data, 0)
        cipher.close()
        with suppress(ValueError):  # closed before the call began
            assert hashlib.sha256(running.result()).digest() == expected
    with pytest.raises(ValueError, match="closed"):
        cipher.encrypt(bytes(4096), 0)


# -- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "key_size", "sector_size"),
    [
        (XTS, 48, 512),
        (XTS, 16, 512),
        (ESSIV, 64, 512),
        (ESSIV, 24, 512),
        (XTS, 64, 256),
        (XTS, 64, 8192),
        (XTS, 64, 513),
    ],
)
def test_unserved_sizes(name: str, key_size: int, sector_size: int) -> None:
    with pytest.raises(ValueError, match="bytes"):
        cipher_of(name, bytes(range(key_size)), sector_size)


def test_unserved_cipher() -> None:
    with pytest.raises(ValueError, match="serpent"):
        cipher_of("serpent-xts-plain64", bytes(64), 512)


def test_xts_key_of_two_equal_halves_is_refused() -> None:
    with pytest.raises(RuntimeError, match="OpenSSL refuses aes-xts-plain64"):
        cipher_of(XTS, bytes(64), 512)


@pytest.mark.parametrize(("length", "sector"), [(4095, 0), (512, 0), (4096, 1), (8192, 7)])
def test_part_of_a_sector(length: int, sector: int) -> None:
    cipher = cipher_of(XTS, bytes(range(64)), 4096)
    with pytest.raises(ValueError, match="whole sectors"):
        cipher.encrypt(bytes(length), sector)


@pytest.mark.parametrize("sector", [-8, 1 << 64])
def test_sector_number_has_64_bits(sector: int) -> None:
    cipher = cipher_of(XTS, bytes(range(64)), 4096)
    with pytest.raises(OverflowError):
        cipher.encrypt(bytes(4096), sector)


def test_nothing_secret_in_repr() -> None:
    shown: Any = repr(cipher_of(XTS, bytes(range(64)), 4096))
    assert shown == "<SectorCipher aes-xts-plain64, sectors of 4096 bytes>"
