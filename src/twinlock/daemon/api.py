"""The API: what the command line asks, over a Unix socket."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import Body, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

import twinlock
from twinlock.daemon.models import (
    ConnectReply,
    CreateReply,
    CreateRequest,
    DiscoveryReply,
    DiscoveryRequest,
    ErrorReply,
    ImportLook,
    ImportReply,
    ImportRequest,
    Report,
    SettingsReply,
    SettingsRequest,
    UnlockRequest,
    VolumeReport,
)
from twinlock.daemon.supervisor import Supervisor
from twinlock.errors import InternalError, TwinlockError
from twinlock.server.tasks import Task

HTTP_ERROR = 400
"""Every error a person can put right; ``exit_code`` and ``name`` tell them apart."""
HTTP_INVALID = 422
HTTP_BUG = 500
WATCH_SECONDS = 0.2
"""Between looks at whether a command still waits for its volume to be made."""

_T = TypeVar("_T")


def build_api(supervisor: Supervisor) -> FastAPI:
    """The application for one supervisor."""
    api = FastAPI(
        title="twinlock",
        version=twinlock.__version__,
        docs_url=None,
        redoc_url=None,
        responses={HTTP_ERROR: {"model": ErrorReply}},
    )
    api.add_exception_handler(TwinlockError, _refused)
    api.add_exception_handler(RequestValidationError, _invalid)
    api.add_exception_handler(Exception, _bug)
    _add_routes(api, supervisor)
    return api


def _add_routes(api: FastAPI, supervisor: Supervisor) -> None:
    @api.get("/v1/status")
    async def status() -> Report:
        return await supervisor.report()

    @api.post("/v1/volumes")
    async def create(request: CreateRequest, connection: Request) -> CreateReply:
        return await _while_connected(connection, supervisor.create(request))

    @api.post("/v1/imports/look")
    async def look(request: ImportRequest, connection: Request) -> ImportLook:
        return await _while_connected(connection, supervisor.look(request))

    @api.post("/v1/imports")
    async def import_(request: ImportRequest, connection: Request) -> ImportReply:
        return await _while_connected(connection, supervisor.import_(request))

    @api.get("/v1/volumes/{name}")
    async def volume(name: str) -> VolumeReport:
        return await supervisor.find(name).report()

    @api.get("/v1/volumes/{name}/connect")
    async def connect(name: str) -> ConnectReply:
        return supervisor.connect(name)

    @api.post("/v1/volumes/{name}/settings")
    async def change(name: str, request: SettingsRequest) -> SettingsReply:
        return await supervisor.change(name, request)

    @api.post("/v1/volumes/{name}/tasks")
    async def maintain(
        name: str, task: Annotated[Task, Body(discriminator="task")], connection: Request
    ) -> dict[str, Any]:
        return await _while_connected(connection, supervisor.maintain(name, task))

    @api.post("/v1/discovery")
    async def change_discovery(request: DiscoveryRequest) -> DiscoveryReply:
        return await supervisor.change_discovery(request)

    @api.post("/v1/volumes/{name}/unlock")
    async def unlock(name: str, request: UnlockRequest) -> VolumeReport:
        return await (await supervisor.unlock(name, request.passphrase)).report()

    @api.post("/v1/volumes/{name}/lock")
    async def lock(name: str) -> VolumeReport:
        found = supervisor.find(name)
        await found.lock()
        return await found.report()


async def _while_connected(connection: Request, work: Coroutine[Any, Any, _T]) -> _T:
    """What ``work`` returns; it is cancelled once nobody waits for that any more (Ctrl-C in a command)."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=WATCH_SECONDS))[0]:
            if await connection.is_disconnected():
                task.cancel()
        if task.cancelled():
            raise InternalError(reason="the command was interrupted")
        return task.result()
    finally:
        task.cancel()


def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TwinlockError)
    return JSONResponse(error.describe(), HTTP_ERROR)


def _bug(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse(InternalError(reason=type(error).__name__).describe(), HTTP_BUG)


def _invalid(_request: Request, error: Exception) -> JSONResponse:
    """Which field is wrong, and never its value: it could be a passphrase."""
    assert isinstance(error, RequestValidationError)
    fields = ", ".join(".".join(str(part) for part in item["loc"]) for item in error.errors())
    return JSONResponse(InternalError(reason=f"request not understood: {fields}").describe(), HTTP_INVALID)
