"""Asks the API: that of the running daemon, or, for what needs none, one of our own."""

import asyncio
import time
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel

from twinlock.daemon.folders import Folders
from twinlock.daemon.names import check_name
from twinlock.errors import NameInvalid, NoSuchVolume, NotServing, rebuild
from twinlock.server import control

_M = TypeVar("_M", bound=BaseModel)


def wait_for_daemon(seconds: float) -> None:
    """Give a daemon that was just started the time to come up."""
    until = time.monotonic() + seconds
    while not Folders.locate().api_socket.exists() and time.monotonic() < until:
        time.sleep(0.05)


def ask(method: str, path: str, kind: type[_M], body: BaseModel | None = None, *, alone: bool = False) -> _M:
    """Send one request and return its answer; raises the TwinlockError that the daemon answered with.

    ``alone``: if no daemon answers, do the work in this process, with the daemon's own code and its lock.
    """
    return asyncio.run(_ask(method, path, kind, body, alone))


def volume_path(name: str, *rest: str) -> str:
    """The API's path of a volume; raises NoSuchVolume for what no volume can be called."""
    try:
        check_name(name)
    except NameInvalid:
        raise NoSuchVolume(name=name) from None
    return "/".join(("/v1/volumes", name, *rest))


async def _ask(method: str, path: str, kind: type[_M], body: BaseModel | None, alone: bool) -> _M:
    folders = Folders.locate()
    content = None if body is None else body.model_dump_json()
    try:
        async with _client(httpx.AsyncHTTPTransport(uds=control.address(folders.api_socket))) as client:
            response = await client.request(method, path, content=content)
    except (httpx.ConnectError, FileNotFoundError) as error:
        if not alone:
            raise NotServing(socket=folders.api_socket) from error
        from twinlock.cli.alone import own_api  # see there

        async with own_api(folders) as transport, _client(transport) as client:
            response = await client.request(method, path, content=content)
    return _result(response, kind)


def _result(response: httpx.Response, kind: type[_M]) -> _M:
    if response.is_success:
        return kind.model_validate_json(response.content)
    description: dict[str, Any] = response.json()
    raise rebuild(description)


def _client(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=transport,
        base_url="http://twinlock",
        timeout=None,
        headers={"content-type": "application/json"},
        trust_env=False,
    )
