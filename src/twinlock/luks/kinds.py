"""Which keyslots are for passphrases and which for key files, and since when.

LUKS does not tell them apart.  A LUKS2 token (LUKS2 on-disk format, section 3.4) of type ``twinlock-keys``
notes what twinlock made: it names the keyslots it speaks of, so libcryptsetup takes a removed one out of
its list, and what somebody else puts into that place later is not taken for ours.  LUKS1 has no tokens, so
nothing is known there.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from twinlock.luks.device import LuksDevice

TOKEN_TYPE = "twinlock-keys"


class Kind(StrEnum):
    """What opens a keyslot."""

    PASSPHRASE = "passphrase"
    KEY_FILE = "key file"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Note:
    """What is noted of one keyslot; ``since`` in seconds since 1970."""

    kind: Kind
    since: int | None = None


def notes_in(metadata: dict[str, Any]) -> dict[int, Note]:
    """What LUKS2 metadata say of the keyslots; a token that makes no sense says nothing."""
    number = _token_number(metadata)
    if number is None:
        return {}
    token = metadata["tokens"][number]
    made = token.get("made")
    known = {slot: _note(made.get(slot)) for slot in token["keyslots"]} if isinstance(made, dict) else {}
    return {int(slot): note for slot, note in known.items() if note is not None}


def other_tokens(metadata: dict[str, Any], slot: int) -> tuple[str, ...]:
    """The types of others' tokens that unlock with a keyslot, such as ``systemd-tpm2``."""
    tokens = metadata["tokens"].values()
    return tuple(
        sorted(
            each["type"] for each in tokens if each["type"] != TOKEN_TYPE and str(slot) in each["keyslots"]
        )
    )


def note_kind(device: LuksDevice, slot: int, note: Note) -> None:
    """Note of what kind a keyslot of the loaded container is; LUKS1 cannot, and is left alone."""
    if device.version == 1:
        return
    metadata = json.loads(device.metadata())
    notes = notes_in(metadata) | {slot: note}
    token = {
        "type": TOKEN_TYPE,
        "keyslots": [str(number) for number in sorted(notes)],
        "made": {
            str(number): {"kind": str(each.kind), "since": each.since} for number, each in notes.items()
        },
    }
    number = _token_number(metadata)
    device.set_token(None if number is None else int(number), json.dumps(token))


def _note(entry: object) -> Note | None:
    if not isinstance(entry, dict) or entry.get("kind") not in (Kind.PASSPHRASE, Kind.KEY_FILE):
        return None
    since = entry.get("since")
    return Note(Kind(entry["kind"]), since if isinstance(since, int) else None)


def _token_number(metadata: dict[str, Any]) -> str | None:
    tokens = metadata["tokens"]
    return next((number for number in sorted(tokens, key=int) if tokens[number]["type"] == TOKEN_TYPE), None)
