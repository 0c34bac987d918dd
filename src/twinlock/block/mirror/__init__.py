"""The mirror: md's RAID1, metadata 1.2, with a write-intent bitmap, in user space.

    layout, superblock, bitmap, reconcile     pure: geometry, fields on disk, who is right
    member, record, intent, ranges, reading   one idea each of the running array
    mirror, resync, create, status            what the rest of the program uses

The standard is the kernel's (md(4), linux/raid/md_p.h): what is written here is
assembled by stock mdadm, and the other way round.
"""
