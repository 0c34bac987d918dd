"""Which function does which task.

To add one: its classes in :mod:`twinlock.server.tasks`, and a function in a module of this package,
listed in that module's ``HANDLERS``.
"""

from collections.abc import Callable
from typing import Any

from twinlock.server.maintenance import grow, headers, keys, members, scrub
from twinlock.server.maintenance.context import Context
from twinlock.server.message import Message

HANDLERS: dict[type[Any], Callable[[Any, Context], Message]] = {
    **members.HANDLERS,
    **grow.HANDLERS,
    **scrub.HANDLERS,
    **keys.HANDLERS,
    **headers.HANDLERS,
}


def carry_out(task: Message, context: Context) -> Message:
    """Do ``task``; raises TwinlockError or DeviceError."""
    with context:
        return HANDLERS[type(task)](task, context)
