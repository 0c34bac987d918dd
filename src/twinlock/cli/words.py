"""Settings and credentials, said to a person."""

import functools
import time

from twinlock.daemon.models import ChapMode, VolumeSettings
from twinlock.daemon.settings import parse_rate
from twinlock.server.messages import Chap

_CHAP = {
    ChapMode.AUTO: "the initiator proves who it is",
    ChapMode.MUTUAL: "initiator and target prove who they are",
    ChapMode.NONE: "none: every machine that is let in may use it",
}
CLUSTER_ONLY = (
    "shared: several machines may write at once. Only a cluster file system (GFS2, OCFS2, VMFS) survives that"
)


def credentials(chap: Chap) -> list[tuple[str, str]]:
    """Users and secrets, which are shown this once."""
    shown = [
        ("CHAP user", chap.user),
        ("CHAP secret", f"{chap.secret.get_secret_value()}   (shown this once; twinlock keeps it)"),
    ]
    if chap.mutual_user and chap.mutual_secret:
        shown += [
            ("mutual CHAP user", chap.mutual_user),
            ("mutual CHAP secret", f"{chap.mutual_secret.get_secret_value()}   (the target's own)"),
        ]
    return shown


def moment(seconds: float) -> str:
    """A time of day, by the clock on the wall; ``seconds`` since 1970."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def settings(of: VolumeSettings) -> list[tuple[str, str]]:
    """Every setting that can be changed."""
    return [
        ("use", "shared by several initiators" if of.shared else "one initiator at a time"),
        ("writing", "refused: read-only" if of.read_only else "allowed"),
        ("discard", "offered" if of.discard else "not offered"),
        ("resync", _rates(of)),
        ("CHAP", _CHAP[of.chap]),
        ("initiators", ", ".join(of.initiators) or "any"),
        ("networks", ", ".join(of.networks) or "any"),
    ]


def _rates(of: VolumeSettings) -> str:
    """A maximum below the minimum counts for both."""
    least, most = of.resync_minimum, of.resync_maximum
    highest, lowest = parse_rate(most), parse_rate(least)
    if highest is not None and lowest is not None and highest <= lowest:
        return f"{most} a second"
    return f"at least {least} a second, at most {most}"


def restrictions(of: VolumeSettings) -> list[tuple[str, str]]:
    """Those settings that are not as they are without a word."""
    return [(label, value) for label, value in settings(of) if _usual()[label] != value]


@functools.cache
def _usual() -> dict[str, str]:
    unchanged = VolumeSettings(
        chap=ChapMode.AUTO, shared=False, read_only=False, discard=True, initiators=[], networks=[]
    )
    return dict(settings(unchanged))


def indented(facts: list[tuple[str, str]]) -> list[str]:
    """One line for each, in columns."""
    width = max((len(label) for label, _ in facts), default=0)
    return [f"  {label.ljust(width)}  {value}" for label, value in facts]
