"""What the guest does with a mirror, a container in it and a filesystem in that: scripts for stock tools.

The members are /dev/vda and /dev/vdb, the array is /dev/md0, the container opens as
/dev/mapper/backup, and filesystems are mounted on /mnt.
"""

PASSPHRASE = b"correct horse battery staple"

KEY_DERIVATION = {
    "argon2id": "--pbkdf argon2id --pbkdf-force-iterations 4 --pbkdf-memory 1024 --pbkdf-parallel 1",
    "pbkdf2": "--pbkdf pbkdf2 --pbkdf-force-iterations 1000",
}
"""As cheap as cryptsetup allows: their strength is not under test."""

MODULES = "modprobe -a raid1 dm_crypt ext4 loop"

ASSEMBLE = f"""
{MODULES}
mdadm --assemble /dev/md0 /dev/vda /dev/vdb
mdadm --readwrite /dev/md0          # Debian starts arrays read-only, which would put off a resync
"""

BITMAP_CLEAR = """
mdadm --examine-bitmap /dev/vda | grep 'chunks), 0 dirty'
mdadm --examine-bitmap /dev/vdb | grep 'chunks), 0 dirty'
"""

BITMAP_DIRTY = """
mdadm --examine-bitmap /dev/vda | grep 'chunks), [1-9][0-9]* dirty'
mdadm --examine-bitmap /dev/vdb | grep 'chunks), [1-9][0-9]* dirty'
"""

OPEN = """
cryptsetup open --key-file passphrase /dev/md0 backup
"""

CLOSE = """
if mountpoint -q /mnt; then umount /mnt; fi
cryptsetup close backup
mdadm --stop /dev/md0
"""

SETTLED = """
until test "$(cat /sys/block/md0/md/sync_action) $(cat /sys/block/md0/md/resync_start)" = "idle none"; do
    sleep 0.1
done
test "$(cat /sys/block/md0/md/degraded)" = 0
"""

IN_SYNC = """
# an array that was stopped cleanly: nothing to resync, and no resync was begun
test "$(cat /sys/block/md0/md/sync_action)" = idle
test "$(cat /sys/block/md0/md/resync_start)" = none
test "$(cat /sys/block/md0/md/degraded)" = 0
mdadm --detail /dev/md0 | grep -E 'State : (clean|active) *$'
if dmesg | grep -E 'md: (resync|recovery) of RAID array md0'; then exit 1; fi
"""

RESYNCED = f"""
# an array that was not stopped: the kernel compares and copies what the bitmap names, by itself
{SETTLED}
dmesg | grep 'md: resync of RAID array md0'
"""

RECOVERED = f"""
# a member that was being filled: the kernel fills it
{SETTLED}
dmesg | grep 'md: recovery of RAID array md0'
"""

IDENTICAL = f"""
# the kernel reads both members and finds no difference
echo check > /sys/block/md0/md/sync_action
{SETTLED}
test "$(cat /sys/block/md0/md/mismatch_cnt)" = 0
"""


def create(sector_size: int, key_derivation: str) -> str:
    """Make array (metadata 1.2, write-intent bitmap), LUKS2 container and an ext4 of 64 MiB on /mnt."""
    return f"""
{MODULES}
mdadm --create /dev/md0 --run --level=1 --raid-devices=2 --metadata=1.2 --bitmap=internal /dev/vda /dev/vdb
{SETTLED}
cryptsetup luksFormat -q --type luks2 --sector-size {sector_size} \
    {KEY_DERIVATION[key_derivation]} /dev/md0 passphrase
{OPEN}
mkfs.ext4 -q -b 4096 -E lazy_itable_init=0,lazy_journal_init=0 /dev/mapper/backup 64M
mount /dev/mapper/backup /mnt
"""


def partitions(block_size: int) -> str:
    """Make /dev/loop0p1... of the payload, which must have sectors of ``block_size``."""
    return f"""
test "$(blockdev --getss /dev/mapper/backup)" = {block_size}
losetup --read-only --partscan --sector-size {block_size} /dev/loop0 /dev/mapper/backup
"""


def digests(device: str) -> str:
    """Check the filesystem on ``device`` and print the digests of its files, as sha256sum does."""
    return f"""
e2fsck -fn {device} >&2
mount -o ro {device} /mnt
(cd /mnt && find . -type f -print0 | sort -z | xargs -0 sha256sum)
umount /mnt
"""


def digest_of_first(mebibytes: int) -> str:
    """Print the digest of the payload's beginning."""
    return f"dd if=/dev/mapper/backup bs=1M count={mebibytes} status=none | sha256sum"
