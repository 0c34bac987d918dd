"""The self-test passes here, covers every variant, and fails when an answer or a cipher is wrong."""

from dataclasses import replace
from itertools import product

import pytest
from typing_extensions import Buffer

from twinlock.errors import SelfTestFailed
from twinlock.native import CipherName, SectorCipher, selftest
from twinlock.native.cipher import KEY_SIZES


def test_passes() -> None:
    selftest.self_test()


def test_covers_every_cipher_key_and_both_block_sizes() -> None:
    covered = {(answer.name, answer.key_size, answer.sector_size) for answer in selftest.KNOWN_ANSWERS}
    wanted = {(name, key, size) for name in CipherName for key, size in product(KEY_SIZES[name], (512, 4096))}
    assert covered == wanted


@pytest.mark.parametrize("answer", selftest.KNOWN_ANSWERS)
def test_notices_another_result(answer: selftest.KnownAnswer) -> None:
    other = replace(answer, sector512=answer.sector512 + 8)
    with pytest.raises(SelfTestFailed, match=rf"{answer.name}.* encrypts wrongly"):
        selftest.self_test((other,))


def test_notices_a_decryption_that_does_not_undo(monkeypatch: pytest.MonkeyPatch) -> None:
    def decrypt(cipher: SectorCipher, data: Buffer, sector512: int) -> memoryview:
        return cipher.encrypt(data, sector512)

    monkeypatch.setattr(SectorCipher, "decrypt", decrypt)
    with pytest.raises(SelfTestFailed, match="decrypts wrongly"):
        selftest.self_test()


def test_refusal_of_the_library_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "KEY", bytes(64))  # equal halves: OpenSSL refuses them for XTS
    with pytest.raises(SelfTestFailed, match="OpenSSL refuses"):
        selftest.self_test()
