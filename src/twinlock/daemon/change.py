"""Settings changed by command: in the configuration file, and in the files of secrets.

Everything is checked first; what cannot be is refused with nothing changed.
"""

from typing import Any

from twinlock.daemon.config import ConfigurationFile
from twinlock.daemon.creation import check_lists
from twinlock.daemon.credentials import DISCOVERY, Credentials
from twinlock.daemon.models import ChapMode, DiscoveryRequest, SettingsRequest
from twinlock.daemon.volume import ManagedVolume
from twinlock.errors import BadOption
from twinlock.server.messages import Chap

_FLAGS = ("shared", "read_only", "discard")
_LISTS = ("initiators", "networks")


class Changes:
    """Carries out what is asked for, in the files."""

    def __init__(self, file: ConfigurationFile, credentials: Credentials) -> None:
        self._file = file
        self._credentials = credentials

    def apply(self, volume: ManagedVolume, request: SettingsRequest) -> Chap | None:
        """Change a volume's settings; the credentials if CHAP was among them.

        Raises BadOption, InitiatorNameInvalid, NetworkInvalid, ConfigurationInvalid, NoSuchVolume.
        """
        check_lists(request.initiators or (), request.networks or ())
        self._file.find(volume.configured.name)
        before = volume.next_settings().chap
        mode, chap = self._change_secrets(volume.configured.name, before, request)
        settings = _wanted(request, mode)
        self._file.change(volume.configured.name, settings)
        frozen = {key: tuple(value) if key in _LISTS else value for key, value in settings.items()}
        volume.configured = volume.configured.model_copy(update=frozen)
        return chap

    def apply_to_discovery(self, before: ChapMode, request: DiscoveryRequest) -> tuple[ChapMode, Chap | None]:
        """As :meth:`apply`, for discovery."""
        self._file.load()
        mode, chap = self._change_secrets(DISCOVERY, before, request)
        if request.chap is not None:
            self._file.change_server({"discovery_chap": mode is not ChapMode.NONE})
        return mode, chap

    def _change_secrets(
        self, name: str, before: ChapMode, request: SettingsRequest | DiscoveryRequest
    ) -> tuple[ChapMode, Chap | None]:
        """How CHAP is from now on, and with which credentials if it was asked to change."""
        mode = request.chap or before
        if mode is ChapMode.NONE:
            if request.new_secrets:
                raise BadOption(option="--new-secrets", reason="without CHAP there are no secrets")
            return mode, None
        mutual = mode is ChapMode.MUTUAL
        if request.new_secrets:
            return mode, self._credentials.make(name, mutual=mutual)
        return mode, self._credentials.change(name, mutual=mutual) if request.chap else None


def _wanted(request: SettingsRequest, mode: ChapMode) -> dict[str, Any]:
    """The settings asked for, as the file names them."""
    wanted = request.model_dump(include={*_FLAGS, *_LISTS}, exclude_none=True)
    for key in _LISTS:
        if key in wanted:
            wanted[key] = list(dict.fromkeys(wanted[key]))
    return wanted | ({} if request.chap is None else {"chap": mode is not ChapMode.NONE})
