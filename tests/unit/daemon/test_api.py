"""The API: errors travel whole, and a request's values are never quoted."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from twinlock import errors
from twinlock.daemon.api import build_api
from twinlock.daemon.folders import Folders
from twinlock.daemon.supervisor import Supervisor
from twinlock.daemon.volume import ManagedVolume
from twinlock.daemon.worker_client import WorkerClient


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    return Supervisor(Folders.locate({"TWINLOCK_ROOT": str(tmp_path)}))


def ask(supervisor: Supervisor, method: str, path: str, body: Any = None) -> httpx.Response:
    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(build_api(supervisor), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://twinlock") as client:
            return await client.request(method, path, json=body)

    return asyncio.run(request())


def test_an_error_travels_with_name_sentence_and_code(supervisor: Supervisor) -> None:
    response = ask(supervisor, "GET", "/v1/volumes/nothing")
    error = errors.rebuild(response.json())
    assert response.status_code == 400
    assert isinstance(error, errors.NoSuchVolume)
    assert "nothing" in str(error)


@pytest.mark.parametrize(
    "body",
    [
        {"passphrase": "hunter2 is no base64"},
        {"passphrase": ["hunter2"]},
        {"passphrase": "aHVudGVyMg==", "colour": "hunter2"},
        "hunter2",
    ],
)
def test_a_bad_request_is_not_quoted(supervisor: Supervisor, body: Any) -> None:
    response = ask(supervisor, "POST", "/v1/volumes/backup/unlock", body)
    assert response.status_code == 422
    assert isinstance(errors.rebuild(response.json()), errors.InternalError)
    assert "hunter2" not in response.text
    assert "aHVudGVyMg" not in response.text


def test_a_bug_is_called_a_bug(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_self: Supervisor, _name: str) -> ManagedVolume:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(Supervisor, "find", broken)
    response = ask(supervisor, "GET", "/v1/volumes/backup")
    assert isinstance(errors.rebuild(response.json()), errors.InternalError)
    assert "hunter2" not in response.text


@pytest.mark.parametrize("interpreter", ["/bin/false", "/nonexistent"])
def test_a_worker_that_does_not_start_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interpreter: str
) -> None:
    monkeypatch.setattr("twinlock.daemon.worker_client.sys.executable", interpreter)

    async def start() -> None:
        await WorkerClient.start("backup", tmp_path / "w.sock", tmp_path / "backup.log", lambda _worker: None)

    with pytest.raises(errors.WorkerFailed) as caught:
        asyncio.run(start())
    assert "backup.log" in str(caught.value)
