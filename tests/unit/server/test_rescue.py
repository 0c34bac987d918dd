"""Rot in the container's header: one place or several, on one member or both, with checksums and without.

Without checksums nothing but the header's own sums, and the keys themselves, tell which copy is right.
"""

from collections.abc import Iterable
from pathlib import Path

import pytest
from pydantic import SecretBytes

from tests.support.containers import FIRST, SECOND, SIZE, THIRD, header_of, opens, stock_container, with_key
from tests.support.recording_device import RecordingDevice
from tests.unit.server.maintenance.encrypted import (
    add,
    container_start,
    do,
    flip,
    make,
    settled,
    start,
    tried,
)
from twinlock.errors import ContainerUnsupported, WrongPassphrase
from twinlock.luks.copies import whole_copies
from twinlock.luks.keyslots import opening_slot
from twinlock.luks.opening import Attempt
from twinlock.server.container_header import find_header, write_back
from twinlock.server.key_tasks import KeyChange, KeyRemove
from twinlock.server.messages import VolumeSpec
from twinlock.server.rescue import try_everywhere

COPY_1, COPY_2 = 5000, 16384 + 5000
MATERIAL = 32768
SLOT_0, SLOT_1 = 32768 + 1000, 32768 + 258048 + 1000
"""Bytes from the container's start: places in the header's copies, their end, and places in the key material
of two keyslots."""
Rot = tuple[tuple[int, int], ...]
"""Members and places."""


def rot(spec: VolumeSpec, places: Iterable[tuple[int, int]]) -> None:
    disks = [Path(path) for path in spec.members]
    starts = [container_start(disk) for disk in disks]
    for member, place in places:
        flip(disks[member], starts[member] + place)


def two_keys(folder: Path, *, checksums: bool) -> VolumeSpec:
    """A mirror that "first" and "second" open."""
    spec = make(folder, checksums=checksums)
    add(spec, b"second")
    return spec


def headers(spec: VolumeSpec) -> list[bytes]:
    """The header areas, with two keyslots, as the members hold them."""
    disks = [Path(path) for path in spec.members]
    return [disk.read_bytes()[container_start(disk) :][: 32768 + 2 * 258048] for disk in disks]


@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.parametrize(
    "places",
    [
        ((0, COPY_1), (0, COPY_2)),
        ((1, COPY_1), (1, COPY_2)),
        ((0, COPY_1), (1, COPY_2)),
        ((0, COPY_2), (1, COPY_1)),
        ((0, SLOT_0),),
        ((1, SLOT_0),),
        ((0, SLOT_0), (0, SLOT_1)),
        ((0, SLOT_0), (1, SLOT_1)),
        ((0, COPY_1), (0, COPY_2), (0, SLOT_0), (1, SLOT_1)),
    ],
)
def test_what_one_member_holds_whole_opens(tmp_path: Path, places: Rot, checksums: bool) -> None:
    """And what was used is whole on both afterwards; with checksums, whatever is read is."""
    spec = two_keys(tmp_path, checksums=checksums)
    whole = headers(spec)[0]
    rot(spec, places)
    for secret in (b"first", b"second"):
        tried(spec, secret)
        volume = start(spec, secret)
        volume.mirror.read(0, len(whole))
        volume.close()
    found = headers(spec)[0]
    assert found[MATERIAL:] == whole[MATERIAL:]
    assert [copy.place.offset for copy in whole_copies(found)] == [0, MATERIAL // 2]


@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.parametrize("place", [COPY_1, COPY_2])
def test_one_copy_damaged_on_both(tmp_path: Path, place: int, checksums: bool) -> None:
    spec = two_keys(tmp_path, checksums=checksums)
    rot(spec, ((0, place), (1, place)))
    start(spec).close()
    one, other = headers(spec)
    assert one == other
    assert len(whole_copies(one)) == 2


@pytest.mark.parametrize("checksums", [True, False])
def test_both_copies_damaged_on_both(tmp_path: Path, checksums: bool) -> None:
    spec = two_keys(tmp_path, checksums=checksums)
    rot(spec, [(member, place) for member in (0, 1) for place in (COPY_1, COPY_2)])
    before = headers(spec)
    with pytest.raises(ContainerUnsupported, match=r"no LUKS header|cannot be read"):
        start(spec)
    assert headers(spec) == before


@pytest.mark.parametrize("checksums", [True, False])
def test_a_keyslot_damaged_on_both_costs_that_key_alone(tmp_path: Path, checksums: bool) -> None:
    spec = two_keys(tmp_path, checksums=checksums)
    rot(spec, ((0, SLOT_0), (1, SLOT_0)))
    with pytest.raises(WrongPassphrase):
        start(spec)
    start(spec, b"second").close()
    assert tried(spec, b"second")


def test_a_key_is_changed_though_its_material_is_damaged_on_the_preferred_member(tmp_path: Path) -> None:
    spec = two_keys(tmp_path, checksums=False)
    rot(spec, ((0, SLOT_0), (1, SLOT_1)))
    do(spec, KeyChange(secret=SecretBytes(b"first"), new_secret=SecretBytes(b"third"), iter_time=0))
    tried(spec, b"third")
    tried(spec, b"second")
    with pytest.raises(WrongPassphrase):
        tried(spec, b"first")


def test_a_removed_key_does_not_come_back_from_a_member(tmp_path: Path) -> None:
    """A keyslot that the header does not name is nowhere looked for."""
    spec = two_keys(tmp_path, checksums=False)
    disk = Path(spec.members[1])
    begin = container_start(disk)
    material = disk.read_bytes()[begin + 32768 : begin + 32768 + 258048]
    do(spec, KeyRemove(number=0))
    with disk.open("r+b") as file:
        file.seek(begin + 32768)
        file.write(material)
    with pytest.raises(WrongPassphrase):
        start(spec)


def test_a_rotten_key_is_found_while_the_volume_is_open(tmp_path: Path) -> None:
    spec = two_keys(tmp_path, checksums=False)
    volume = start(spec, b"second")
    settled(volume)
    rot(spec, ((0, SLOT_0),))
    copies = volume.mirror.copies()
    begin = SLOT_0 // 4096 * 4096
    assert bytes(copies[0].read(begin, 4096)) != bytes(copies[1].read(begin, 4096))
    volume.close()


# -- LUKS1 ----------------------------------------------------------------------------------------


class Halves(RecordingDevice):
    """Two members without checksums; the first answers."""

    def __init__(self, first: bytes, second: bytes) -> None:
        super().__init__(SIZE)
        self.data[: len(first)] = first
        self.second = RecordingDevice(SIZE)
        self.second.data[: len(second)] = second

    def copies(self) -> tuple[RecordingDevice, ...]:
        return (self, self.second)

    def write(self, offset: int, data: object) -> None:
        super().write(offset, data)  # type: ignore[arg-type]
        self.second.write(offset, data)  # type: ignore[arg-type]


@pytest.mark.parametrize("place", [0, 8, 40, 115, 140, 215, 230, 4096 + 100])
def test_rot_in_luks1_on_the_member_that_answers(tmp_path: Path, place: int) -> None:
    """Magic, cipher, hash, digest, salts, iterations, key material: nothing of it has a sum."""
    path = tmp_path / "container"
    stock_container(path, "luks1")
    whole = with_key(header_of(path), SECOND)
    rotten = bytearray(whole)
    rotten[place] ^= 0x10
    device = Halves(bytes(rotten), whole)
    found = find_header(device, None)
    _, found = try_everywhere(found, device, lambda header, number: _open(header, FIRST, number))
    write_back(device, found, None, "v")
    assert device.data == device.second.data
    assert bytes(device.data[: len(whole)]) == whole
    assert opens(found.good, SECOND)
    with pytest.raises(WrongPassphrase):
        try_everywhere(found, device, lambda header, number: _open(header, THIRD, number))


def _open(header: bytes, secret: bytes, number: int | None) -> int:
    return opening_slot(header, array_size=SIZE, secret=secret, attempt=Attempt("v", number))
