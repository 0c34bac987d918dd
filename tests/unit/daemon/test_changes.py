"""Settings changed by command: kept at once, in force from the next unlock on."""

import asyncio
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from twinlock import errors
from twinlock.daemon.credentials import DISCOVERY, Credentials
from twinlock.daemon.folders import Folders
from twinlock.daemon.models import ChapMode, DiscoveryRequest, SettingsReply, SettingsRequest
from twinlock.daemon.supervisor import Supervisor

PC, MAC = "iqn.2026-11.net.example:pc", "iqn.2026-11.net.example:mac"


class OpenWorker:
    """Stands for the process of an unlocked volume."""


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    folders = Folders.locate({"TWINLOCK_ROOT": str(tmp_path)})
    folders.make()
    folders.config_file.write_text('[[volume]]\nname = "backup"\nmembers = ["/x", "/y"]\n')
    made = Supervisor(folders)
    made.claim()
    yield made
    made.release()


def change(supervisor: Supervisor, **settings: Any) -> SettingsReply:
    return asyncio.run(supervisor.change("backup", SettingsRequest(**settings)))


def discovery(supervisor: Supervisor, **settings: Any) -> Any:
    return asyncio.run(supervisor.change_discovery(DiscoveryRequest(**settings)))


def kept(supervisor: Supervisor) -> Credentials:
    return Credentials(supervisor.folders.secrets)


def unlock(supervisor: Supervisor) -> None:
    volume = supervisor.find("backup")
    volume._opened_with, volume._opened_chap = volume.configured, volume._configured_chap()
    volume.worker = OpenWorker()  # type: ignore[assignment]


def test_what_is_asked_for_is_in_the_file_and_nothing_else_changes(supervisor: Supervisor) -> None:
    reply = change(supervisor, shared=True, initiators=[PC, MAC, PC], networks=["10.0.0.0/8"])
    assert (reply.settings.shared, reply.settings.read_only, reply.waits) == (True, False, False)
    assert reply.settings.initiators == [PC, MAC]
    table = supervisor._file.load().volume[0]
    assert (table.shared, table.read_only, table.discard) == (True, False, True)
    assert table.initiators == (PC, MAC)
    assert change(supervisor, initiators=[]).settings.initiators == []
    assert supervisor._file.load().volume[0].networks == ("10.0.0.0/8",)


def test_an_unlocked_volume_keeps_what_it_was_unlocked_with(supervisor: Supervisor) -> None:
    unlock(supervisor)
    volume = supervisor.find("backup")
    reply = change(supervisor, read_only=True, networks=["10.0.0.0/8"])
    assert reply.waits
    assert not volume.table.read_only
    assert volume.table.networks == ()
    assert volume.settings() != volume.next_settings()
    volume.worker = None
    assert volume.table.read_only
    assert volume.settings() == volume.next_settings()
    assert volume._spec().read_only
    assert volume._spec().networks == ("10.0.0.0/8",)


def test_a_change_that_is_taken_back_waits_for_nothing(supervisor: Supervisor) -> None:
    unlock(supervisor)
    assert change(supervisor, shared=True).waits
    assert not change(supervisor, shared=False).waits


def test_chap_goes_through_all_its_modes(supervisor: Supervisor) -> None:
    mutual = change(supervisor, chap=ChapMode.MUTUAL)
    assert mutual.chap is not None
    assert mutual.chap.mutual_secret is not None
    assert mutual.settings.chap is ChapMode.MUTUAL
    one_way = change(supervisor, chap=ChapMode.AUTO)
    assert one_way.chap is not None
    assert one_way.chap.mutual_secret is None
    assert one_way.chap.secret == mutual.chap.secret
    off = change(supervisor, chap=ChapMode.NONE)
    assert (off.settings.chap, off.chap) == (ChapMode.NONE, None)
    assert supervisor.find("backup")._spec().chap is None
    renewed = change(supervisor, chap=ChapMode.AUTO, new_secrets=True)
    assert renewed.chap is not None
    assert renewed.chap.secret != mutual.chap.secret
    assert supervisor.find("backup")._spec().chap == renewed.chap


def test_mutual_chap_of_an_unlocked_volume_waits(supervisor: Supervisor) -> None:
    unlock(supervisor)
    assert change(supervisor, chap=ChapMode.MUTUAL).waits
    assert supervisor.find("backup").settings().chap is ChapMode.AUTO
    assert change(supervisor, new_secrets=True).waits


def test_secrets_that_wait_are_told_of_until_the_next_unlock(supervisor: Supervisor) -> None:
    unlock(supervisor)
    volume = supervisor.find("backup")
    volume._socket.touch()
    os.utime(volume._socket, (1000, 1000))
    change(supervisor, new_secrets=True)
    assert change(supervisor, shared=False).waits, "also to who asks later"
    assert supervisor.connect("backup").waits
    volume.worker = None
    assert not change(supervisor).waits
    assert not supervisor.connect("backup").waits


def test_connect_tells_how_chap_is_now_not_how_it_will_be(supervisor: Supervisor) -> None:
    unlock(supervisor)
    change(supervisor, chap=ChapMode.MUTUAL)
    now = supervisor.connect("backup")
    assert now.login is not None
    assert now.login.mutual_user is None
    assert now.waits


def test_a_configuration_that_cannot_be_written_keeps_the_secrets(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(supervisor, chap=ChapMode.NONE)
    kept(supervisor).make("backup")
    before = kept(supervisor).path("backup").read_bytes()

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkstemp", full)
    for settings in ({"chap": ChapMode.MUTUAL}, {"chap": ChapMode.AUTO, "new_secrets": True}):
        with pytest.raises(errors.FolderUnusable, match="No space left"):
            change(supervisor, **settings)
    with pytest.raises(errors.FolderUnusable):
        discovery(supervisor, chap=ChapMode.AUTO)
    monkeypatch.undo()
    assert kept(supervisor).path("backup").read_bytes() == before
    assert supervisor.find("backup").next_settings().chap is ChapMode.NONE
    assert not discovery(supervisor).credentials


def test_damaged_secrets_are_refused_before_the_file_changes(supervisor: Supervisor) -> None:
    change(supervisor, chap=ChapMode.NONE)
    kept(supervisor).path("backup").write_text("user = 'x'\n")
    with pytest.raises(errors.ConfigurationInvalid):
        change(supervisor, chap=ChapMode.AUTO)
    assert not supervisor._file.load().volume[0].chap
    assert change(supervisor, chap=ChapMode.AUTO, new_secrets=True).chap is not None


def test_asking_changes_nothing_and_shows_no_secret(supervisor: Supervisor) -> None:
    before = supervisor.folders.config_file.read_bytes()
    reply = change(supervisor)
    assert reply.chap is None
    assert supervisor.folders.config_file.read_bytes() == before
    assert not kept(supervisor).path("backup").exists()


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"initiators": ["pc"], "chap": ChapMode.MUTUAL}, errors.InitiatorNameInvalid),
        ({"networks": ["10.0.0.1/8"], "shared": True, "new_secrets": True}, errors.NetworkInvalid),
        ({"chap": ChapMode.NONE, "new_secrets": True}, errors.BadOption),
    ],
)
def test_what_is_refused_changes_nothing(
    supervisor: Supervisor, settings: dict[str, Any], kind: type[errors.TwinlockError]
) -> None:
    before = supervisor.folders.config_file.read_bytes()
    with pytest.raises(kind):
        change(supervisor, **settings)
    assert supervisor.folders.config_file.read_bytes() == before
    assert not list(supervisor.folders.secrets.iterdir())
    assert supervisor.find("backup").configured == supervisor._file.load().volume[0]


def test_a_file_that_is_being_edited_keeps_the_secrets_too(supervisor: Supervisor) -> None:
    with supervisor.folders.config_file.open("a") as file:
        file.write("[[volume")
    with pytest.raises(errors.ConfigurationInvalid):
        change(supervisor, chap=ChapMode.MUTUAL, new_secrets=True)
    with pytest.raises(errors.ConfigurationInvalid):
        discovery(supervisor, chap=ChapMode.AUTO)
    assert not list(supervisor.folders.secrets.iterdir())


def test_what_stood_in_the_file_and_is_not_asked_for_stays_unread(supervisor: Supervisor) -> None:
    """A change by hand counts from the next start on, not from the next command."""
    path = supervisor.folders.config_file
    path.write_text(path.read_text() + "shared = true\n")
    assert not change(supervisor, read_only=True).settings.shared
    assert supervisor._file.load().volume[0].shared


def test_discovery_counts_at_once(supervisor: Supervisor) -> None:
    gate = supervisor._gate
    assert gate.discovery_authentication is None
    made = discovery(supervisor, chap=ChapMode.MUTUAL)
    policy = gate.discovery_authentication
    assert policy is not None
    assert policy.secret.reveal().decode() == made.credentials.secret.get_secret_value()
    assert policy.mutual_user == "twinlock"
    assert supervisor._file.load().server.discovery_chap
    assert discovery(supervisor).chap is ChapMode.MUTUAL
    renewed = discovery(supervisor, new_secrets=True)
    assert renewed.credentials.secret != made.credentials.secret
    assert gate.discovery_authentication != policy
    assert discovery(supervisor, chap=ChapMode.NONE).chap is ChapMode.NONE
    assert gate.discovery_authentication is None
    assert not supervisor._file.load().server.discovery_chap


def test_without_its_secret_discovery_is_not_open_but_the_start_refused(supervisor: Supervisor) -> None:
    discovery(supervisor, chap=ChapMode.AUTO)
    kept(supervisor).path(DISCOVERY).write_text("user = 'x'\n")
    with pytest.raises(errors.ConfigurationInvalid):
        supervisor.bind([])


def test_connect_tells_what_has_to_be_typed(supervisor: Supervisor) -> None:
    change(supervisor, chap=ChapMode.MUTUAL, shared=True)
    discovery(supervisor, chap=ChapMode.AUTO)
    reply = supervisor.connect("backup")
    assert reply.login is not None
    assert reply.discovery is not None
    assert (reply.login.user, reply.login.mutual_user) == ("backup", "twinlock")
    assert (reply.discovery.user, reply.discovery.mutual_user) == ("discovery", None)
    assert reply.shared
