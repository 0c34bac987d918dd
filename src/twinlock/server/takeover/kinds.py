"""What lies on a device, by the names that libblkid gives: what is refused, and what is served with a word.

A device whose data make sense only together with others, or with what is kept elsewhere, must
not be served as if it were whole.
"""

from collections.abc import Iterable

from twinlock.block.signatures import Signature
from twinlock.errors import CannotImport

MD_MEMBER = "linux_raid_member"
CONTAINER = "crypto_LUKS"

_REFUSED = {
    "isw_raid_member": "it belongs to an Intel firmware array (IMSM)",
    "ddf_raid_member": "it belongs to a firmware array (DDF)",
    "bcache": "it belongs to bcache, whose cache may hold the newest data (detach it: echo 1 > "
    "/sys/block/bcache0/bcache/detach)",
    "DM_integrity": "it uses dm-integrity (integritysetup), which twinlock does not serve",
    "DM_snapshot_cow": "it holds the changes of a device-mapper snapshot, and not the data",
    "DM_verity_hash": "it holds digests of dm-verity, and no data",
    "drbd": "it belongs to DRBD, whose other half may be newer",
    "jbd": "it holds the journal of a file system on another disk",
    "ceph_bluestore": "it belongs to a Ceph cluster",
}
_TOGETHER = {
    "LVM2_member": "It is a physical volume of LVM: it is served as it is, and a Linux initiator finds the "
    "volume group; serve the group's other disks too, if it has any.",
    "LVM1_member": "It is a physical volume of LVM 1: it is served as it is.",
    "zfs_member": "It belongs to a ZFS pool: it is served as it is; serve the pool's other disks too, "
    "if it has any.",
    "btrfs": "Btrfs may span several disks: serve the others too, if there are any.",
    "VMFS_volume_member": "It belongs to a VMFS volume: serve the volume's other disks too, if it has any.",
}
"""Served as they are, with this said."""


def refuse(path: str, signatures: Iterable[Signature]) -> None:
    """Raise CannotImport if a signature names what is not whole by itself."""
    for found in signatures:
        reason = _REFUSED.get(found.type)
        if reason is None and found.usage == "raid" and found.type not in {MD_MEMBER, *_TOGETHER}:
            reason = f"it belongs to an array of another kind ({found.type})"
        if reason is not None:
            raise CannotImport(path=path, reason=reason)


def remarks(signatures: Iterable[Signature]) -> tuple[str, ...]:
    """What should be said about what is served as it is."""
    return tuple(_TOGETHER[found.type] for found in signatures if found.type in _TOGETHER)
