"""The daemon's own API inside this process, for commands that need no daemon.

A module of its own: importing the API's framework takes longer than most commands, so it is done on demand.
"""

import contextlib
from collections.abc import AsyncIterator

import httpx

from twinlock.daemon.api import build_api
from twinlock.daemon.folders import Folders
from twinlock.daemon.supervisor import Supervisor


@contextlib.asynccontextmanager
async def own_api(folders: Folders) -> AsyncIterator[httpx.ASGITransport]:
    """The API of a supervisor that serves nothing, with the lock on the state folder."""
    supervisor = Supervisor(folders)
    supervisor.claim()
    try:
        yield httpx.ASGITransport(build_api(supervisor), raise_app_exceptions=False)
    finally:
        supervisor.release()
