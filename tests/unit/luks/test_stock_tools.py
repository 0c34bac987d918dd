"""Other implementations judge header and payload: stock cryptsetup (LUKS2) and QEMU (LUKS1).

None of these needs device mapper: cryptsetup converts plain files offline, and
QEMU has a LUKS1 implementation of its own.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.recording_device import RecordingDevice
from twinlock.block.crypt import CryptDevice
from twinlock.luks import PROBE_LENGTH, Attempt, format_container, header_length, unlock_container
from twinlock.native import SectorCipher
from twinlock.units import MIB

PASSPHRASE = "correct horse"
CHEAP = ["--pbkdf-force-iterations", "4", "--pbkdf-memory", "32"]
PATTERN = b"".join(number.to_bytes(4, "big") * 128 for number in range(4096))  # 2 MiB, each sector another


def run(*command: str | Path, secret: str = PASSPHRASE) -> str:
    ended = subprocess.run(command, input=secret, capture_output=True, text=True, check=True)
    return ended.stdout


@contextmanager
def served(image: Path) -> Iterator[CryptDevice]:
    """The payload of a container in a file, as the data path opens it; changes are written back."""
    lower = RecordingDevice(image.stat().st_size)
    lower.data[:] = image.read_bytes()
    header = lower.read(0, header_length(lower.data[:PROBE_LENGTH]))
    opened = unlock_container(
        header, array_size=lower.size, passphrase=PASSPHRASE.encode(), attempt=Attempt("v")
    )
    with opened.key:
        cipher = SectorCipher(opened.cipher_name, opened.key, opened.sector_size)
    yield CryptDevice(lower, cipher, opened.payload_offset, opened.sector_size, opened.payload_size)
    cipher.close()
    image.write_bytes(lower.data)


# -- what twinlock made ---------------------------------------------------------------------------


@pytest.fixture(params=[512, 4096])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    new = format_container(
        size=8 * MIB,
        sector_size=request.param,
        passphrase=PASSPHRASE.encode(),
        iter_time_ms=0,
        label="photos",
    )
    image = tmp_path / "container"
    image.write_bytes(new.header + bytes(new.payload_size))
    with served(image) as device:
        for offset in range(0, device.size, len(PATTERN)):
            device.write(offset, PATTERN)
    return image


def test_cryptsetup_reads_the_header(made: Path) -> None:
    dump = run("cryptsetup", "luksDump", made)
    for wanted in ("Version:       \t2", "Label:         \tphotos", "aes-xts-plain64", "argon2id"):
        assert wanted in dump
    run("cryptsetup", "open", "--test-passphrase", "--key-file", "-", made)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        run("cryptsetup", "open", "--test-passphrase", "--key-file", "-", made, secret="wrong")
    assert caught.value.returncode == 2


def test_cryptsetup_decrypts_the_payload(made: Path, tmp_path: Path) -> None:
    command = ["cryptsetup", "reencrypt", "--decrypt", "--force-offline-reencrypt", "--batch-mode"]
    run(*command, "--key-file", "-", "--header", tmp_path / "header", made)
    assert made.read_bytes()[: 6 * MIB] == PATTERN * 3


# -- what stock cryptsetup made -------------------------------------------------------------------


@pytest.mark.parametrize("sector_size", ["512", "2048", "4096"])
@pytest.mark.parametrize(
    ("cipher", "key_bits"),
    [
        ("aes-xts-plain64", "256"),
        ("aes-xts-plain64", "512"),
        ("aes-cbc-essiv:sha256", "128"),
        ("aes-cbc-essiv:sha256", "256"),
    ],
)
def test_decrypts_what_cryptsetup_encrypted(
    tmp_path: Path, cipher: str, key_bits: str, sector_size: str
) -> None:
    image = tmp_path / "container"
    image.write_bytes(PATTERN + bytes(8 * MIB))
    command = ["cryptsetup", "reencrypt", "--encrypt", "--force-offline-reencrypt", "--batch-mode", *CHEAP]
    options = ["--type", "luks2", "--reduce-device-size", "8M", "--cipher", cipher, "--key-size", key_bits]
    run(*command, *options, "--sector-size", sector_size, "--key-file", "-", image)
    with served(image) as device:
        assert device.block_size == int(sector_size)
        assert device.read(0, len(PATTERN)) == PATTERN


def test_luks1_of_cryptsetup_opens(tmp_path: Path) -> None:
    image = tmp_path / "container"
    image.write_bytes(bytes(4 * MIB))
    command = [
        "cryptsetup",
        "luksFormat",
        "--type",
        "luks1",
        "--pbkdf-force-iterations",
        "1000",
        "--batch-mode",
    ]
    run(*command, "--key-file", "-", image)
    with served(image) as device:
        device.write(0, PATTERN)
    with served(image) as device:
        assert device.read(0, len(PATTERN)) == PATTERN


# -- QEMU's own LUKS1 -----------------------------------------------------------------------------

QEMU_CIPHERS = {
    "xts-256": "cipher-alg=aes-128,cipher-mode=xts,ivgen-alg=plain64",
    "xts-512": "cipher-alg=aes-256,cipher-mode=xts,ivgen-alg=plain64",
    "essiv-128": "cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256",
    "essiv-256": "cipher-alg=aes-256,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256",
}


def qemu_create(image: Path, secret: Path, cipher: str, size: str) -> None:
    """An image by qemu-img, whose benchmark gives up on a busy machine and is then asked again."""
    secret.write_text(PASSPHRASE)
    options = f"key-secret=secret,iter-time=10,{QEMU_CIPHERS[cipher]}"
    create = ["qemu-img", "create", "-q", "-f", "luks", "--object", f"secret,id=secret,file={secret}"]
    for _ in range(20):
        command = [*create, "-o", options, str(image), size]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if "accurate CPU usage" not in ended.stderr:
            break
    assert (ended.returncode, ended.stderr) == (0, "")


def qemu_io(image: Path, secret: Path, *commands: str) -> str:
    options = {"driver": "luks", "key-secret": "secret", "file.driver": "file", "file.filename": str(image)}
    source = "json:" + json.dumps(options)
    flags = [flag for command in commands for flag in ("-c", command)]
    return run("qemu-io", "--object", f"secret,id=secret,file={secret}", *flags, source)


@pytest.mark.parametrize("cipher", QEMU_CIPHERS)
def test_qemu_and_twinlock_read_each_other(tmp_path: Path, cipher: str) -> None:
    image, secret = tmp_path / "container", tmp_path / "secret"
    qemu_create(image, secret, cipher, "4M")

    qemu_io(image, secret, "write -P 0x5a 1536 65536", "write -P 0xc3 3M 1M")
    with served(image) as device:
        assert device.size == 4 * MIB
        assert device.read(1536, 65536) == b"\x5a" * 65536
        assert device.read(3 * MIB, MIB) == b"\xc3" * MIB
        device.write(MIB, b"\x77" * 65536)
        device.write(512, b"\x11" * 512)

    checks = ("read -P 0x77 1M 65536", "read -P 0x11 512 512", "read -P 0x5a 1536 65536")
    verdict = qemu_io(image, secret, *checks)
    assert verdict.count("read ") >= len(checks)
    assert "Pattern verification failed" not in verdict

    with pytest.raises(subprocess.CalledProcessError) as caught:  # the checks above can fail
        qemu_io(image, secret, "read -P 0x12 512 512")
    assert "Pattern verification failed" in caught.value.stdout
