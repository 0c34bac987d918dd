"""A volume made anew has nothing of one that had its name before."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from twinlock.daemon import supervisor as module
from twinlock.daemon.credentials import Credentials
from twinlock.daemon.folders import Folders
from twinlock.daemon.models import ChapMode, CreateReply, CreateRequest, SettingsRequest
from twinlock.daemon.supervisor import Supervisor
from twinlock.server.messages import Created

MADE = Created(array=UUID(int=1), size=1 << 30, block_size=512, copies=False)


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    async def on_disk(*_: object) -> Created:
        return MADE

    monkeypatch.setattr(module, "create_on_disk", on_disk)
    made = Supervisor(Folders.locate({"TWINLOCK_ROOT": str(tmp_path)}))
    made.claim()
    yield made
    made.release()


def create(supervisor: Supervisor, chap: ChapMode) -> CreateReply:
    request = CreateRequest(name="backup", members=["/x", "/y"], encrypted=False, chap=chap)
    return asyncio.run(supervisor.create(request))


@pytest.mark.parametrize("chap", [ChapMode.NONE, ChapMode.AUTO])
def test_old_secrets_let_nobody_in_to_a_new_volume(supervisor: Supervisor, chap: ChapMode) -> None:
    kept = Credentials(supervisor.folders.secrets)
    old = kept.make("backup", mutual=True)
    kept.store("backup", old.model_copy(update={"user": "of-long-ago"}))
    create(supervisor, chap)
    reply = asyncio.run(supervisor.change("backup", SettingsRequest(chap=ChapMode.AUTO)))
    assert reply.chap is not None
    assert reply.chap.secret != old.secret
    assert reply.chap.user == "backup"
    assert reply.chap.mutual_user is None
