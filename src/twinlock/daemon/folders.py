"""Where things are kept: configuration, state (with the secrets) and what lives only while running."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from twinlock.errors import FolderUnusable


@dataclass(frozen=True, slots=True)
class Folders:
    """The three folders; every file twinlock touches, members apart, is in one of them."""

    config: Path
    state: Path
    runtime: Path

    @classmethod
    def locate(cls, environ: Mapping[str, str] = os.environ, uid: int | None = None) -> "Folders":
        """``TWINLOCK_ROOT`` puts all three under one folder; root has the system's, others the XDG ones."""
        root = environ.get("TWINLOCK_ROOT")
        if root:
            base = Path(root).absolute()
            return cls(base / "etc", base / "lib", base / "run")
        if (os.getuid() if uid is None else uid) == 0:
            return cls(Path("/etc/twinlock"), Path("/var/lib/twinlock"), Path("/run/twinlock"))
        home = Path(environ.get("HOME", "~")).expanduser()
        runtime = environ.get("XDG_RUNTIME_DIR")
        return cls(
            Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "twinlock",
            Path(environ.get("XDG_STATE_HOME") or home / ".local/state") / "twinlock",
            Path(runtime) / "twinlock" if runtime else home / ".local/state/twinlock/run",
        )

    def make(self) -> None:
        """Create what is missing; state and runtime are for their owner only.  Raises FolderUnusable."""
        kept = (self.secrets, self.reservations, self.scrubs, self.tables, self.headers, self.logs)
        private = (self.state, self.runtime, *kept, self.workers)
        for folder, mode in ((self.config, 0o755), *((folder, 0o700) for folder in private)):
            try:
                folder.mkdir(mode=mode, parents=True, exist_ok=True)
            except OSError as error:
                raise FolderUnusable(folder=folder, reason=error.strerror) from error
            if not os.access(folder, os.W_OK | os.X_OK):
                raise FolderUnusable(folder=folder, reason="no permission to write there")

    @property
    def config_file(self) -> Path:
        """The one file a person edits."""
        return self.config / "twinlock.toml"

    @property
    def secrets(self) -> Path:
        """CHAP secrets, a file per volume."""
        return self.state / "secrets"

    @property
    def reservations(self) -> Path:
        """What initiators have reserved, a file per volume and array."""
        return self.state / "reservations"

    @property
    def scrubs(self) -> Path:
        """What the last scrub of each volume found."""
        return self.state / "scrubs"

    @property
    def tables(self) -> Path:
        """Checksums of members that have no room for them, a file per member."""
        return self.state / "tables"

    @property
    def headers(self) -> Path:
        """Backups of containers' headers."""
        return self.state / "headers"

    @property
    def logs(self) -> Path:
        """A log per worker."""
        return self.state / "logs"

    @property
    def workers(self) -> Path:
        """A control socket per worker."""
        return self.runtime / "workers"

    def log_file(self, volume: str) -> Path:
        """The log of a volume's worker."""
        return self.logs / f"{volume}.log"

    def reservations_file(self, volume: str) -> Path:
        """The persistent reservations of a volume; its worker adds the array's UUID."""
        return self.reservations / volume

    def scrub_file(self, volume: str) -> Path:
        """What its last scrub found; the array's UUID is added to the name."""
        return self.scrubs / volume

    def forget_arrays(self, volume: str) -> None:
        """What was kept of arrays that had this volume's name before: reservations, and the last scrub."""
        for folder in (self.reservations, self.scrubs):
            for path in folder.glob(f"{volume}.*"):
                path.unlink(missing_ok=True)

    def worker_socket(self, volume: str) -> Path:
        """The control socket of a volume's worker."""
        return self.workers / f"{volume}.sock"

    @property
    def api_socket(self) -> Path:
        """The API."""
        return self.runtime / "api.sock"

    @property
    def derivation_lock(self) -> Path:
        """Held during a key derivation: each may take 1 GiB, so they run one at a time."""
        return self.runtime / "derivation.lock"

    @property
    def state_lock(self) -> Path:
        """Held by the one process that may change the state."""
        return self.state / "lock"
