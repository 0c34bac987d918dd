"""What is found on devices that are to be taken over.  Sizes in bytes."""

from typing import Literal
from uuid import UUID

from twinlock.server.message import Message, Passphrase


class FoundMember(Message):
    """One device; ``state``: what becomes of it when the volume is unlocked."""

    path: str
    size: int
    state: str
    bad_sectors: int = 0
    """Sectors that its bad-block log lists: they are read from another member, and rewritten."""


class FoundArray(Message):
    """The array that the members make."""

    uuid: UUID
    name: str
    """As md has it, ``host:name``; empty in metadata 0.90."""
    metadata: str
    places: int
    missing: int
    """Places that none of the members fills."""
    clean: bool
    bitmap: Literal["there", "added"]
    """"added": it has none, and gets one."""


class FoundContainer(Message):
    """The LUKS container in it."""

    uuid: UUID
    version: int
    cipher: str
    key_bits: int
    sector_size: int
    label: str


class Found(Message):
    """What can be taken over."""

    members: tuple[FoundMember, ...]
    array: FoundArray | None = None
    """None: one device, which is served as it is, without a mirror."""
    container: FoundContainer | None = None
    contents: tuple[str, ...] = ()
    """What lies inside, as far as it can be read without a key."""
    size: int
    """What the initiator will see."""
    block_size: int
    target: str | None = None
    """The target name that the container holds."""
    label: str = ""
    """What the array or the container was called."""
    remarks: tuple[str, ...] = ()
    """What its owner should know before."""

    @property
    def identity(self) -> UUID | None:
        """What tells this volume from others: UUID of the array or the container."""
        if self.array is not None:
            return self.array.uuid
        return None if self.container is None else self.container.uuid


class Import(Message):
    """Look at the members, try the passphrase if there is one, and, if asked, take them over.

    ``expected``: what was shown to whoever agreed; anything else found now is refused.  Answered with
    :class:`Found`; without ``carry_out`` nothing is written.
    """

    op: Literal["import"] = "import"
    members: tuple[str, ...]
    name: str
    """For the sentence that says that the passphrase is wrong."""
    carry_out: bool = False
    expected: Found | None = None
    passphrase: Passphrase | None = None
    derivation_lock: str
