"""The daemon's own API inside this process, for commands that need no daemon.

A module of its own: importing the API's framework takes longer than most commands, so it is done on demand.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx

from twinlock.cli.client import HEADERS
from twinlock.daemon.api import build_api
from twinlock.daemon.folders import Folders
from twinlock.daemon.supervisor import Supervisor


def ask_own_api(folders: Folders, method: str, path: str, content: bytes | None) -> tuple[int, bytes]:
    """Status and content of the answer; as :func:`twinlock.cli.client.ask` asks a daemon."""
    return asyncio.run(_ask(folders, method, path, content))


async def _ask(folders: Folders, method: str, path: str, content: bytes | None) -> tuple[int, bytes]:
    async with (
        _own_api(folders) as transport,
        httpx.AsyncClient(
            transport=transport, base_url="http://twinlock", timeout=None, headers=HEADERS, trust_env=False
        ) as client,
    ):
        response = await client.request(method, path, content=content)
    return response.status_code, response.content


@contextlib.asynccontextmanager
async def _own_api(folders: Folders) -> AsyncIterator[httpx.ASGITransport]:
    """The API of a supervisor that serves nothing, with the lock on the state folder."""
    supervisor = Supervisor(folders)
    supervisor.claim()
    try:
        yield httpx.ASGITransport(build_api(supervisor), raise_app_exceptions=False)
    finally:
        supervisor.release()
