"""Rot in the container's header is no reason to refuse an import, as long as one member holds it whole.

What cannot be read of the preferred member's copy is taken from another; so is a keyslot that the passphrase
does not open.  Nothing is written: the unlock does that.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import SecretBytes

from tests.conftest import PASSPHRASE
from tests.support import foreign
from tests.unit.server.maintenance.encrypted import container_start, flip
from twinlock.errors import CannotImport, ContainerUnsupported, WrongPassphrase
from twinlock.server.takeover.facts import Found, Import
from twinlock.server.takeover.take_over import take_over

MAGIC_1, MAGIC_2, COPY_1, COPY_2, SLOT = 0, 16384, 5000, 16384 + 5000, 32768 + 1000
WHOLE_HEADER = (MAGIC_1, MAGIC_2, COPY_1, COPY_2)
LUKS1 = ("--cipher", "aes-cbc-essiv:sha256", "--key-size", "256")
Rot = tuple[tuple[int, int], ...]
"""Members and places, in bytes from the container's start."""


@pytest.fixture(scope="module", params=[1, 2])
def container(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    folder = tmp_path_factory.mktemp("container")
    (folder / "key").write_bytes(PASSPHRASE)
    options = LUKS1 if request.param == 1 else ()
    return request.param, foreign.luks(folder / "disk", folder / "key", *options, version=request.param)


def rotten(folder: Path, contents: Path, places: Sequence[tuple[int, int]]) -> list[Path]:
    """An array with the container, of whose members some are damaged."""
    disks = [folder / "one", folder / "two"]
    foreign.array(disks)
    foreign.array(disks, contents)
    starts = [container_start(disk) for disk in disks]
    for member, place in places:
        flip(disks[member], starts[member] + place)
    return disks


def ask(disks: Sequence[Path], passphrase: bytes = PASSPHRASE, *, carry_out: bool = False) -> Found:
    request = Import(
        members=tuple(map(str, disks)),
        name="backup",
        derivation_lock=str(disks[0].parent / "lock"),
        passphrase=SecretBytes(passphrase),
        carry_out=carry_out,
    )
    return take_over(request, wanted=lambda: True)


@pytest.mark.parametrize(
    ("places", "said"),
    [
        (tuple((0, place) for place in WHOLE_HEADER), True),
        (tuple((1, place) for place in WHOLE_HEADER), False),
        (((0, COPY_1), (0, COPY_2)), True),
        (((0, MAGIC_1), (1, COPY_2)), False),
        (((0, SLOT),), False),
        (((1, SLOT),), False),
        (((0, COPY_1), (0, COPY_2), (0, SLOT)), True),
        (((0, COPY_1), (0, COPY_2), (1, SLOT)), True),
    ],
)
def test_what_one_member_holds_whole_is_taken_over(
    tmp_path: Path, container: tuple[int, Path], places: Rot, said: bool
) -> None:
    version, contents = container
    if version == 1:  # it has one copy, and no checksum: only the magic number shows damage to the header
        places = tuple(each for each in places if each[1] in (MAGIC_1, SLOT))
        said = (0, MAGIC_1) in places
    disks = rotten(tmp_path, contents, places)
    before = [disk.read_bytes() for disk in disks]
    found = ask(disks)
    assert ask(disks, carry_out=True) == found
    assert found.container is not None
    assert found.container.version == version
    assert any("header" in remark for remark in found.remarks) == said
    assert [disk.read_bytes() for disk in disks] == before
    with pytest.raises(WrongPassphrase):
        ask(disks, b"another")


def test_what_no_member_holds_whole_is_refused(tmp_path: Path, container: tuple[int, Path]) -> None:
    both = [(member, place) for member in (0, 1) for place in WHOLE_HEADER]
    places = [each for each in both if container[0] == 2 or each[1] == MAGIC_1]
    with pytest.raises((ContainerUnsupported, CannotImport)):
        ask(rotten(tmp_path, container[1], places))
    (tmp_path / "slot").mkdir()
    with pytest.raises(WrongPassphrase):
        ask(rotten(tmp_path / "slot", container[1], [(0, SLOT), (1, SLOT)]))
