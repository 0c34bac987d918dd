"""Keys are listed, added, changed, removed and tried as stock cryptsetup sees them; the last one stays."""

import json
from pathlib import Path

import pytest

from tests.support.containers import (
    CHEAP,
    FIRST,
    KEY_FILE,
    PASSPHRASE,
    SECOND,
    SIZE,
    THIRD,
    cryptsetup,
    header_of,
    opens,
    own_header,
    stock_container,
    stock_opens,
    with_key,
)
from twinlock.errors import (
    ContainerUnsupported,
    KeyslotsFull,
    LastKey,
    NoSuchKeyslot,
    PassphraseUnusable,
    WrongPassphrase,
)
from twinlock.luks.backup import NoBackup, backup_of, identify, restored
from twinlock.luks.device import LuksDevice
from twinlock.luks.keyslots import Keyslots, add_key, change_key, list_keyslots, opening_slot, remove_key
from twinlock.luks.kinds import Kind
from twinlock.luks.opening import Attempt
from twinlock.luks.rewrite import Unordered, plan


def slots(header: bytes) -> Keyslots:
    return list_keyslots(header, array_size=SIZE)


def remove(header: bytes, number: int, *, force: bool = False) -> bytes:
    return remove_key(header, array_size=SIZE, number=number, force=force).header


def write(path: Path, header: bytes) -> None:
    path.write_bytes(header + path.read_bytes()[len(header) :])


@pytest.mark.parametrize(
    ("kind", "more"),
    [("luks1", []), ("luks2", []), *(("luks2", ["--sector-size", size]) for size in ("1024", "4096"))],
)
def test_stock_cryptsetup_agrees_after_every_step(tmp_path: Path, kind: str, more: list[str]) -> None:
    path = tmp_path / "container"
    stock_container(path, kind, *more)
    header = with_key(header_of(path), SECOND, KEY_FILE)
    check(path, header, {FIRST, SECOND})
    header = change_key(
        header,
        array_size=SIZE,
        secret=SECOND,
        new_secret=THIRD,
        note=PASSPHRASE,
        cost=CHEAP,
        attempt=Attempt("v"),
    ).header
    check(path, header, {FIRST, THIRD})
    header = remove(header, 0)
    check(path, header, {THIRD})
    cost = ["1000"] if kind == "luks1" else ["4", "--pbkdf-memory", "32"]
    options = ["--pbkdf-force-iterations", *cost, "--key-file", "-"]
    done = cryptsetup("luksAddKey", "-q", *options, path, "/etc/hostname", secret=THIRD)
    assert done.returncode == 0, done.stderr
    assert opens(header_of(path), Path("/etc/hostname").read_bytes())


def check(path: Path, header: bytes, secrets: set[bytes]) -> None:
    write(path, header)
    assert {each for each in (FIRST, SECOND, THIRD) if opens(header, each)} == secrets
    assert {each for each in (FIRST, SECOND, THIRD) if stock_opens(path, each)} == secrets
    assert {slot.number for slot in slots(header).used} == stock_slots(path)


def stock_slots(path: Path) -> set[int]:
    dump = cryptsetup("luksDump", path).stdout.decode().splitlines()
    if "Version:       \t1" in dump:
        return {int(line[9]) for line in dump if line.endswith("ENABLED")}
    shown = json.loads(cryptsetup("luksDump", "--dump-json-metadata", path).stdout)
    return {int(number) for number in shown["keyslots"]}


def test_kinds_and_dates_are_noted_and_follow_changes() -> None:
    header = with_key(own_header(), SECOND, KEY_FILE)
    first, second = slots(header).used
    assert (first.note.kind, first.note.since) == (Kind.PASSPHRASE, None)
    assert (second.note, second.cost.kdf, second.cost.memory) == (KEY_FILE, "argon2id", 32768)
    removed = slots(remove(header, 1))
    assert [slot.note.kind for slot in removed.used] == [Kind.PASSPHRASE]
    again = slots(with_key(remove(header, 1), THIRD))
    assert again.find(1).note == PASSPHRASE


def test_what_others_put_into_a_place_is_not_taken_for_ours(tmp_path: Path) -> None:
    path = tmp_path / "container"
    stock_container(path, "luks2")
    write(path, with_key(header_of(path), SECOND, KEY_FILE))
    assert cryptsetup("luksKillSlot", "-q", path, "1").returncode == 0
    options = ["--pbkdf-force-iterations", "4", "--pbkdf-memory", "32", "--key-file", "-"]
    assert cryptsetup("luksAddKey", "-q", *options, path, "/etc/hostname", secret=FIRST).returncode == 0
    assert slots(header_of(path)).find(1).note.kind is Kind.UNKNOWN


def test_tokens_of_others_are_kept_and_shown(tmp_path: Path) -> None:
    path, token = tmp_path / "container", tmp_path / "token"
    stock_container(path, "luks2")
    token.write_text(json.dumps({"type": "example", "keyslots": ["0"], "blob": "x"}))
    assert cryptsetup("token", "import", "--json-file", token, path).returncode == 0
    header = with_key(header_of(path), SECOND)
    assert slots(header).find(0).tokens == ("example",)
    write(path, header)
    assert b'"blob":"x"' in cryptsetup("luksDump", "--dump-json-metadata", path).stdout.replace(b" ", b"")


# -- refusals -------------------------------------------------------------------------------------


def test_the_last_key_stays() -> None:
    header = own_header()
    with pytest.raises(LastKey, match="lost for ever"):
        remove(header, 0)
    assert slots(remove(header, 0, force=True)).used == ()


def test_the_last_passphrase_stays_while_key_files_remain() -> None:
    header = with_key(own_header(), SECOND, KEY_FILE)
    with pytest.raises(LastKey, match="only key files"):
        remove(header, 0)
    assert not opens(remove(header, 1), SECOND)
    both = with_key(header, THIRD)
    assert opens(remove(both, 0), SECOND)
    assert opens(remove(header, 0, force=True), SECOND)


def test_wrong_and_impossible_keys(tmp_path: Path) -> None:
    header = own_header()
    with pytest.raises(WrongPassphrase, match="'v'"):
        add_key(
            header,
            array_size=SIZE,
            secret=SECOND,
            new_secret=THIRD,
            note=PASSPHRASE,
            cost=CHEAP,
            attempt=Attempt("v"),
        )
    for secret in (b"", bytes((8 << 20) + 1)):
        with pytest.raises(PassphraseUnusable):
            with_key(header, secret)
    with pytest.raises(NoSuchKeyslot, match="key 5"):
        remove(header, 5)
    with pytest.raises(NoSuchKeyslot):
        opening_slot(header, array_size=SIZE, secret=FIRST, attempt=Attempt("v", 3))
    assert opening_slot(header, array_size=SIZE, secret=FIRST, attempt=Attempt("v", 0)) == 0


def test_a_new_key_that_does_not_open_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    header, real = own_header(), LuksDevice.add_key
    monkeypatch.setattr(LuksDevice, "add_key", lambda device, old, _: real(device, old, b"something else"))
    with pytest.raises(ContainerUnsupported, match="did not open"):
        with_key(header, THIRD)


def test_what_a_token_opens_is_no_passphrase(tmp_path: Path) -> None:
    path, token = tmp_path / "container", tmp_path / "token"
    stock_container(path, "luks2")
    write(path, with_key(header_of(path), SECOND))
    token.write_text(json.dumps({"type": "example", "keyslots": ["0"]}))
    assert cryptsetup("token", "import", "--json-file", token, path).returncode == 0
    with pytest.raises(LastKey, match="last passphrase"):
        remove(header_of(path), 1)
    assert opens(remove(header_of(path), 0), SECOND)


@pytest.mark.parametrize("kind", ["luks1", "luks2"])
def test_no_room_for_another(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "container"
    stock_container(path, kind)
    header = header_of(path)
    for number in range(7):
        header = with_key(header, b"more %d" % number)
    with pytest.raises(KeyslotsFull):
        with_key(header, THIRD)
    with pytest.raises(KeyslotsFull):
        change_key(
            header,
            array_size=SIZE,
            secret=FIRST,
            new_secret=THIRD,
            note=PASSPHRASE,
            cost=CHEAP,
            attempt=Attempt("v"),
        )


# -- backups --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["luks1", "luks2"])
def test_backups_go_both_ways(tmp_path: Path, kind: str) -> None:
    path, ours, theirs = (tmp_path / name for name in ("container", "ours", "theirs"))
    stock_container(path, kind)
    assert cryptsetup("luksHeaderBackup", path, "--header-backup-file", theirs).returncode == 0
    ours.write_bytes(backup_of(header_of(path)))
    assert identify(theirs.read_bytes()) == identify(ours.read_bytes())
    assert ours.stat().st_size == theirs.stat().st_size
    write(path, remove(with_key(header_of(path), SECOND), 0))
    changed = header_of(path)
    assert cryptsetup("luksHeaderRestore", "-q", path, "--header-backup-file", ours).returncode == 0
    assert (stock_opens(path, FIRST), stock_opens(path, SECOND)) == (True, False)
    back = restored(changed, theirs.read_bytes())
    assert (opens(back, FIRST), opens(back, SECOND)) == (True, False)


def test_backups_hold_no_remains_of_removed_keys() -> None:
    two = with_key(own_header(), SECOND)
    area = two[32768 + 258048 : 32768 + 2 * 258048]
    backup = backup_of(remove(two, 1))
    assert area in two
    assert not any(backup[32768 + 258048 :])


@pytest.mark.parametrize("content", [b"", b"LUKS\xba\xbe\x00\x02", bytes(1 << 20)])
def test_what_is_no_backup(content: bytes) -> None:
    with pytest.raises(NoBackup):
        identify(content)
    with pytest.raises(NoBackup, match="cut off"):
        identify(own_header()[: 1 << 20])


def test_key_material_in_use_is_never_overwritten() -> None:
    before = own_header()
    after = bytearray(before)
    after[32768] ^= 1
    with pytest.raises(Unordered):
        plan(before, bytes(after))
