"""Settings changed by command: in the configuration file, and in the files of secrets.

Everything is checked first; what cannot be is refused with nothing changed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from twinlock.daemon.config import ConfigurationFile
from twinlock.daemon.creation import check_rates
from twinlock.daemon.credentials import DISCOVERY, Credentials
from twinlock.daemon.models import ChapMode, DiscoveryRequest, SettingsRequest
from twinlock.daemon.names import check_lists
from twinlock.daemon.volume import ManagedVolume
from twinlock.errors import BadOption
from twinlock.server.messages import Chap
from twinlock.server.tasks import MemberReplace

_PLAIN = ("shared", "read_only", "discard", "resync_minimum", "resync_maximum")
_LISTS = ("initiators", "networks")


class Changes:
    """Carries out what is asked for, in the files."""

    def __init__(self, file: ConfigurationFile, credentials: Credentials) -> None:
        self._file = file
        self._credentials = credentials

    def apply(self, volume: ManagedVolume, request: SettingsRequest) -> Chap | None:
        """Change a volume's settings; the credentials if CHAP was among them.

        Raises BadOption, InitiatorNameInvalid, NetworkInvalid, ConfigurationInvalid, FolderUnusable.
        """
        check_lists(request.initiators or (), request.networks or ())
        check_rates(request.resync_minimum, request.resync_maximum)
        name = volume.configured.name
        self._file.find(name)
        mode = self._chap_mode(name, volume.next_settings().chap, request)
        settings = _wanted(request, mode)
        self._file.change(name, settings)
        frozen = {key: tuple(value) if key in _LISTS else value for key, value in settings.items()}
        volume.configured = volume.configured.model_copy(update=frozen)
        return self._change_secrets(name, mode, request)

    def take_members(self, volume: ManagedVolume, result: Mapping[str, Any]) -> None:
        """Let the file, and the volume, have the members that came of a task, if any did.

        Raises ConfigurationInvalid, FolderUnusable: on the disks it is done.
        """
        if result.get("members") is None:
            return
        members, leaving = tuple(result["members"]), tuple(result.get("leaving") or ())
        volume.note_members({"members": members, "leaving": leaving, "copies": result.get("copies")})
        self._write_members(volume.configured.name, members, leaving, result.get("copies"))

    def announce(self, volume: ManagedVolume, task: MemberReplace, copies: int) -> None:
        """Let the file say what is about to be replaced: a start after a crash goes on with it, or ends it.

        An array that was given a place for the new member does not tell why it has one more.
        """
        members = tuple(dict.fromkeys((*volume.configured.members, task.new)))
        self._write_members(volume.configured.name, members, (task.path,), copies)

    def withdraw(self, volume: ManagedVolume) -> None:
        """What was announced is refused: the file says again what holds."""
        table = volume.configured
        self._write_members(table.name, table.members, table.leaving, table.copies)

    def _write_members(
        self, name: str, members: Sequence[str], leaving: Sequence[str], copies: int | None
    ) -> None:
        kept = {"members": [*members], "leaving": [*leaving] or None, "copies": copies}
        self._file.change(name, kept)

    def apply_to_discovery(self, before: ChapMode, request: DiscoveryRequest) -> tuple[ChapMode, Chap | None]:
        """As :meth:`apply`, for discovery."""
        self._file.load()
        mode = self._chap_mode(DISCOVERY, before, request)
        if request.chap is not None:
            self._file.change_server({"discovery_chap": mode is not ChapMode.NONE})
        return mode, self._change_secrets(DISCOVERY, mode, request)

    def _chap_mode(
        self, name: str, before: ChapMode, request: SettingsRequest | DiscoveryRequest
    ) -> ChapMode:
        """How CHAP is from now on; raises what the secrets could not be changed for."""
        mode = request.chap or before
        if mode is ChapMode.NONE and request.new_secrets:
            raise BadOption(option="--new-secrets", reason="without CHAP there are no secrets")
        if mode is not ChapMode.NONE and request.chap and not request.new_secrets:
            self._credentials.check_kept(name)
        return mode

    def _change_secrets(
        self, name: str, mode: ChapMode, request: SettingsRequest | DiscoveryRequest
    ) -> Chap | None:
        """The credentials, if CHAP was asked to change.

        After the configuration: if these cannot be written, those that were there before still hold.
        """
        if mode is ChapMode.NONE or not (request.chap or request.new_secrets):
            return None
        mutual = mode is ChapMode.MUTUAL
        if request.new_secrets:
            return self._credentials.make(name, mutual=mutual)
        return self._credentials.change(name, mutual=mutual)


def _wanted(request: SettingsRequest, mode: ChapMode) -> dict[str, Any]:
    """The settings asked for, as the file names them."""
    wanted = request.model_dump(include={*_PLAIN, *_LISTS}, exclude_none=True)
    for key in _LISTS:
        if key in wanted:
            wanted[key] = list(dict.fromkeys(wanted[key]))
    return wanted | ({} if request.chap is None else {"chap": mode is not ChapMode.NONE})
