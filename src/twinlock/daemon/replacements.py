"""Members that are being replaced leave the configuration once another has taken their place.

The array itself lets go of the old member (:meth:`Mirror.replace_member`), hours after the command, and
perhaps while no supervisor is there: so it is the configuration that says who shall leave, and it is looked
at again and again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from twinlock.daemon.volume import ManagedVolume
from twinlock.errors import TwinlockError
from twinlock.server.tasks import MemberRemove, MemberStay, Task

LOOK_SECONDS = 2.0
"""Between looks at volumes with a member that shall leave."""
STAYS = "in sync"

log = logging.getLogger(__name__)


async def follow_replacements(
    volumes: Mapping[str, ManagedVolume], maintain: Callable[[str, Task], Awaitable[Any]]
) -> None:
    """For ever: see which replacements are over, and let the configuration follow."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        for name, volume in list(volumes.items()):
            try:
                for path in volume.configured.leaving:
                    await _look(name, volume, path, maintain)
            except (TwinlockError, OSError) as error:
                log.error("volume %s: %s", name, error)


async def _look(
    name: str, volume: ManagedVolume, path: str, maintain: Callable[[str, Task], Awaitable[Any]]
) -> None:
    if volume.worker is None:
        return
    status = await volume.worker.status()
    if status.replacing is not None:
        return
    stays = any(member.path == path and member.state == STAYS for member in status.members)
    log.info("volume %s: %s %s", name, path, "stays: the new member failed" if stays else "is replaced")
    await maintain(name, MemberStay() if stays else MemberRemove(path=path))
