"""What an input can be played as: each entry takes bytes, raises what it finds, and says how much it did."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.fuzz import parsers
from tests.fuzz.bench import Shared
from tests.fuzz.bench_link import Bench
from tests.fuzz.choices import Choices, table
from tests.fuzz.house import House
from tests.fuzz.logins import text_of
from tests.fuzz.oracle.rules import require
from tests.fuzz.sequences import play
from tests.fuzz.served import Served
from tests.fuzz.setups import TARGET, Setup, setup
from tests.fuzz.streams import RawPdu, assemble
from twinlock.wire.iscsi_requests import LoginRequest

LATE = 50
"""Of 100 commands, how many are not completed at once."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How much an input was: whole PDUs that reached the target, and sessions that came to their end."""

    pdus: int = 0
    sessions: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.pdus + other.pdus, self.sessions + other.sessions)


def session(data: bytes, shared: Shared | None = None) -> Tally:
    """A sequence of PDUs by the grammar, without I/O; ``shared``: a target that others were played at."""
    choices = Choices(data)
    bench = Bench(setup(choices), late=lambda: choices.chance(LATE), shared=shared)
    play(choices, bench)
    bench.close()
    return Tally(bench.pdus, bench.sessions)


def _login(text: dict[str, str]) -> bytes:
    header = LoginRequest(transit=True, current_stage=1, next_stage=3, cmd_sn=1).build()
    return assemble(RawPdu(header, text_of({"InitiatorName": "iqn.a"} | text)))


_SMALL = {"InitialR2T": "No", "MaxRecvDataSegmentLength": "512", "MaxBurstLength": "1024"}
OPENINGS = (
    _login({"TargetName": TARGET} | _SMALL),
    b"",
    _login({"SessionType": "Discovery"}),
    _login({"TargetName": TARGET, "HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}),
)
_CUTS = (1, 47, 49, 100)


def stream(data: bytes) -> Tally:
    """Bytes as they are, after an opening or none; however they are cut, the owner hears the same.

    That is so as long as it completes nothing: once a task has ended, its tag is free again.
    """
    whole = (OPENINGS[data[0] % len(OPENINGS)] if data else b"") + data[2:]
    cut = _CUTS[data[1] % len(_CUTS)] if len(data) > 1 else 1
    at_once, tally = _heard(whole, 1 << 30)
    cut_up, again = _heard(whole, cut)
    require(at_once == cut_up, f"{cut} bytes at a time the target hears {cut_up}, and else {at_once}")
    _, answered = _heard(whole, cut, late=False)
    return tally + again + answered


def _heard(data: bytes, size: int, *, late: bool = True) -> tuple[list[tuple[str, int | None]], Tally]:
    """The events, with the stream cut in pieces of ``size`` bytes."""
    bench = Bench(Setup(), late=lambda: late)
    for at in range(0, len(data), size):
        if not bench.over:
            bench.deliver(data[at : at + size])
    bench.close()
    return bench.owner.heard, Tally(bench.pdus, bench.sessions)


def parser(data: bytes) -> Tally:
    """One of the parsers."""
    parsers.parse(data)
    return Tally()


_HOUSES = table((4, ("open", True)), (2, ("open", False)), (1, ("chap", True)), (1, ("mutual", False)))
_INPUTS_PER_HOUSE = 50
_houses: dict[tuple[str, bool], tuple[House, int]] = {}


def served(data: bytes) -> Tally:
    """A sequence of PDUs by the grammar, through sockets, at a server that many inputs share."""
    choices = Choices(data)
    policy, shared = choices.pick(_HOUSES)
    house, inputs = _houses.pop((policy, shared), (None, 0))
    house = house or House(Setup(policy=policy), shared=shared)
    link = Served(house)
    play(choices, link)
    link.close()
    if inputs + 1 < _INPUTS_PER_HOUSE:
        _houses[policy, shared] = house, inputs + 1
    else:  # reservations and the like: after a while the neighbour could not do anything any more
        house.close()
    return Tally(link.pdus, link.sessions)


def close_houses() -> None:
    """Shut down the servers that are still up."""
    while _houses:
        _, (house, _) = _houses.popitem()
        house.close()


ENTRIES: dict[str, Callable[[bytes], Tally]] = {
    "session": session,
    "stream": stream,
    "parser": parser,
    "served": served,
}
