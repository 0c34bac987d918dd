"""A device that belongs to no array: a container, or plain contents, served in place without a mirror."""

from twinlock.block.file import FileDevice
from twinlock.server.takeover.contents import Contents, Source, look_inside
from twinlock.server.takeover.facts import Found, FoundMember

NO_MIRROR = "There is no mirror: what this one disk loses is lost."
NO_ENCRYPTION = "No encryption: whoever has a disk can read it."
BY_PATH = (
    "Nothing on it tells it from other disks: it is known by its path. Name it by a link of /dev/disk/by-id, "
    "which always leads to the same disk."
)


def source_of(device: FileDevice) -> Source:
    """The whole device."""
    return Source(device.path, 0, device.block_size, device, lambda: (device,))


def look(device: FileDevice) -> Found:
    """What ``device`` holds; raises CannotImport or ContainerUnsupported."""
    inside = look_inside(source_of(device))
    return Found(
        members=(FoundMember(path=device.path, size=device.size, state="served as it is"),),
        container=inside.container,
        contents=inside.listing,
        size=inside.size,
        block_size=inside.block_size,
        target=inside.target,
        label=inside.label,
        remarks=(NO_MIRROR, *_of_plain(device, inside), *inside.remarks),
    )


def _of_plain(device: FileDevice, inside: Contents) -> list[str]:
    if inside.container is not None:
        return []
    by_name = not device.is_block or device.path.startswith("/dev/disk/by-id/")
    return [NO_ENCRYPTION] if by_name else [NO_ENCRYPTION, BY_PATH]
