"""What Linux's md writes to the members of an array, byte for byte: for want of a kernel that has it.

As ``drivers/md/md.c`` (``md_update_sb``, ``super_1_sync``) and ``md-bitmap.c`` do it, and ``mdadm --add``
(``write_init_super1``); nothing of twinlock's own code is used.  A real kernel is asked in ``tests/vm``.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from twinlock.block.memory import MemoryDevice

BLOCK = 4096
SECTOR = 512
SUPERBLOCK = 4096
"""Where that of metadata 1.2 lies."""
ROLES = 256
SPARE = 0xFFFF
CLEAN = (1 << 64) - 1
BITMAP_OFFSET, RECOVERY_OFFSET, RECOVERY_BITMAP = 1, 2, 128
_FIELDS = {  # of mdp_superblock_1
    "feature_map": (8, "I"),
    "size": (80, "Q"),
    "raid_disks": (92, "I"),
    "bitmap_offset": (96, "i"),
    "data_offset": (128, "Q"),
    "data_size": (136, "Q"),
    "recovery_offset": (152, "Q"),
    "dev_number": (160, "I"),
    "bblog_shift": (185, "B"),
    "bblog_size": (186, "H"),
    "bblog_offset": (188, "I"),
    "utime": (192, "Q"),
    "events": (200, "Q"),
    "resync_offset": (208, "Q"),
    "sb_csum": (216, "I"),
    "max_dev": (220, "I"),
}
_BITMAP = {"events": (24, "Q"), "events_cleared": (32, "Q"), "state": (48, "I"), "chunksize": (52, "I")}
_BITS = 256


class _Page:
    """4 KiB of a device, and numbers in them."""

    def __init__(self, device: MemoryDevice, offset: int, fields: dict[str, tuple[int, str]]) -> None:
        self._device, self._offset, self._fields = device, offset, fields
        self.content = bytearray(device.read(offset, BLOCK))

    def __getitem__(self, name: str) -> int:
        place, code = self._fields[name]
        return int(struct.unpack_from("<" + code, self.content, place)[0])

    def __setitem__(self, name: str, value: int) -> None:
        place, code = self._fields[name]
        struct.pack_into("<" + code, self.content, place, value)

    def store(self) -> None:
        self._device.write(self._offset, self.content)


@dataclass(eq=False)
class Disk:
    """A member that md has: ``place`` None is a spare; ``recovered``, in sectors, None: in sync."""

    device: MemoryDevice
    place: int | None
    recovered: int | None = None
    by_bitmap: bool = False

    @property
    def superblock(self) -> _Page:
        return _Page(self.device, SUPERBLOCK, _FIELDS)

    def bitmap(self) -> _Page:
        return _Page(self.device, SUPERBLOCK + self.superblock["bitmap_offset"] * SECTOR, _BITMAP)

    @property
    def data(self) -> int:
        return self.superblock["data_offset"] * SECTOR


@dataclass
class StockMd:
    """An array that md runs; ``now`` is its clock, which is the caller's to move.

    With every superblock the event count goes up, but for a whole array that becomes clean: there it is
    taken back by the one that it went up when it became active.
    """

    disks: list[Disk]
    now: int
    events: int = field(init=False)
    active: bool = False
    _back: bool = False

    def __post_init__(self) -> None:
        self.events = max(disk.superblock["events"] for disk in self.disks)
        self.places = self.disks[0].superblock["raid_disks"]

    @classmethod
    def assemble(cls, media: Sequence[MemoryDevice], now: int) -> "StockMd":
        """Of members in sync.  Nothing is written before the first write."""
        found = [_Page(medium, SUPERBLOCK, _FIELDS) for medium in media]
        roles = [struct.unpack_from("<H", page.content, ROLES + 2 * page["dev_number"])[0] for page in found]
        return cls([Disk(medium, role) for medium, role in zip(media, roles, strict=True)], now)

    # -- what its user does -------------------------------------------------------------------------

    def write(self, offset: int, data: bytes, *, lost_on: int | None = None) -> None:
        """To all members; ``lost_on``: the power fails, and this one of them has not got it."""
        if not self.active:
            self.active = True
            self._update(dirty_or_clean=True)
        self._mark(range(offset // self._chunk, (offset + len(data) - 1) // self._chunk + 1))
        for number, disk in enumerate(self.disks):
            if disk.place is not None and number != lost_on:
                disk.device.write(disk.data + offset, data)

    def rest(self) -> None:
        """Nobody writes for a while: the array becomes clean, and then the bits are cleared."""
        if self.active:
            self.active = False
            self._update(dirty_or_clean=True)
        self._clear()

    def stop(self) -> None:
        """``mdadm --stop``."""
        self._clear()
        if self.active:
            self.active = False
            self._update()

    def add(self, medium: MemoryDevice, uuid: bytes, **fields: int) -> Disk:
        """``mdadm --add``: superblock and bitmap of another member; a place if one is free.

        ``fields`` are of the new superblock.
        """
        disk = Disk(medium, None)
        number = self._new_number()
        source = self.disks[0]
        page = _Page(medium, SUPERBLOCK, _FIELDS)
        page.content[:] = source.superblock.content
        page.content[168:184] = uuid
        log = {"bblog_shift": 0, "bblog_size": 8, "bblog_offset": 80}
        for name, value in ({"dev_number": number, "events": 0} | log | fields).items():
            page[name] = value
        _sum_up(page, {number: SPARE})
        page.store()
        bitmap = _Page(medium, SUPERBLOCK + page["bitmap_offset"] * SECTOR, _BITMAP)
        bitmap.content[:] = source.bitmap().content
        bitmap.store()
        free = set(range(self.places)) - {each.place for each in self.disks}
        disk.place, disk.recovered = min(free, default=None), 0
        self.disks.append(disk)
        self._update()
        return disk

    def recover(self, disk: Disk, until: int | None = None) -> None:
        """Copy to it, from the start to the end (or ``until`` there, in bytes, and md notes that)."""
        end = disk.superblock["size"] * SECTOR if until is None else until
        source = next(each for each in self.disks if each.recovered is None)
        for offset in range(0, end, BLOCK):
            if source.device.allocation(source.data + offset, BLOCK)[1]:
                disk.device.write(disk.data + offset, source.device.read(source.data + offset, BLOCK))
        disk.recovered = None if until is None else until // SECTOR
        self._update()

    # -- superblocks ----------------------------------------------------------------------------------

    @property
    def _degraded(self) -> bool:
        return sum(disk.place is not None and disk.recovered is None for disk in self.disks) < self.places

    def _update(self, *, dirty_or_clean: bool = False) -> None:
        """``md_update_sb``; bitmaps first, as there."""
        leaves_spares = dirty_or_clean and not self._degraded
        if leaves_spares and not self.active and self._back and self.events != 1:
            self.events -= 1
            self._back = False
        else:
            self.events += 1
            self._back = leaves_spares
        for disk in self.disks:
            bitmap = disk.bitmap()
            bitmap["events"] = self.events
            bitmap["events_cleared"] = min(bitmap["events_cleared"], self.events)
            bitmap.store()
        roles = {each.superblock["dev_number"]: each.place for each in self.disks}
        for disk in self.disks:
            self._sync(disk, {number: SPARE if role is None else role for number, role in roles.items()})

    def _sync(self, disk: Disk, roles: dict[int, int]) -> None:
        """``super_1_sync``: what is the member's own stays."""
        page = disk.superblock
        filling = disk.place is not None and disk.recovered is not None
        page["feature_map"] = (
            BITMAP_OFFSET | RECOVERY_OFFSET * filling | RECOVERY_BITMAP * (filling and disk.by_bitmap)
        )
        page["recovery_offset"] = (disk.recovered or 0) if filling else 0
        page["utime"] = self.now
        page["events"] = self.events
        page["resync_offset"] = 0 if self.active else CLEAN
        _sum_up(page, roles)
        page.store()

    def _new_number(self) -> int:
        """Behind all that there ever were: devices that are gone keep theirs in the other tables."""
        return max(self.places, *(disk.superblock["dev_number"] + 1 for disk in self.disks))

    # -- bitmaps --------------------------------------------------------------------------------------

    @property
    def _chunk(self) -> int:
        return self.disks[0].bitmap()["chunksize"]

    def _mark(self, chunks: range) -> None:
        for disk in self.disks:
            bitmap = disk.bitmap()
            for chunk in chunks:
                bitmap.content[_BITS + chunk // 8] |= 1 << chunk % 8
            bitmap.store()

    def _clear(self) -> None:
        """No bit is cleared while a member is missing."""
        if self._degraded:
            return
        for disk in self.disks:
            bitmap = disk.bitmap()
            bitmap["events_cleared"] = self.events
            bitmap.content[_BITS:] = bytes(BLOCK - _BITS)
            bitmap.store()


def _sum_up(page: _Page, roles: dict[int, int]) -> None:
    """The table of roles, where who is not there is a spare, and the checksum over all."""
    for number in range(page["max_dev"]):
        struct.pack_into("<H", page.content, ROLES + 2 * number, roles.get(number, SPARE))
    page["sb_csum"] = 0
    words = struct.unpack_from(f"<{(ROLES + 2 * page['max_dev']) // 4}I", page.content)
    total = sum(words)
    page["sb_csum"] = (total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF
