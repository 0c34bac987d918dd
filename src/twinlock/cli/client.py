"""Asks the API: that of the running daemon, or, for what needs none, one of our own.

Every command passes here, so what it imports is what every command waits for: the daemon is asked by the
standard library, and what an API of our own needs is imported only then.
"""

import http.client
import json
import socket
import time
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from twinlock.daemon.folders import Folders
from twinlock.daemon.names import check_name
from twinlock.errors import NameInvalid, NoSuchVolume, NotServing, rebuild
from twinlock.server import control

HEADERS = {"content-type": "application/json"}
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
    folders = Folders.locate()
    content = None if body is None else body.model_dump_json().encode()
    try:
        connection = _connect(folders.api_socket)
    except OSError as error:
        if not alone:
            raise NotServing(socket=folders.api_socket) from error
        from twinlock.cli.alone import ask_own_api  # see there

        return _result(*ask_own_api(folders, method, path, content), kind)
    return _result(*_exchange(connection, method, path, content), kind)


def volume_path(name: str, *rest: str) -> str:
    """The API's path of a volume; raises NoSuchVolume for what no volume can be called."""
    try:
        check_name(name)
    except NameInvalid:
        raise NoSuchVolume(name=name) from None
    return "/".join(("/v1/volumes", name, *rest))


def _connect(path: Path) -> socket.socket:
    """A connection to the daemon; raises OSError if none answers."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(control.address(path))
    except BaseException:
        sock.close()
        raise
    return sock


def _exchange(sock: socket.socket, method: str, path: str, content: bytes | None) -> tuple[int, bytes]:
    """Status and content of the answer; there is no limit to how long it takes."""
    connection = http.client.HTTPConnection("twinlock")
    connection.sock = sock
    try:
        connection.request(method, path, content, HEADERS)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _result(status: int, content: bytes, kind: type[_M]) -> _M:
    if status < http.client.MULTIPLE_CHOICES:
        return kind.model_validate_json(content)
    raise rebuild(json.loads(content))
