"""Strangers are few, and nobody can crowd out the others."""

from dataclasses import dataclass

from twinlock.server.lobby import MAX_STRANGERS, MAX_STRANGERS_PER_ADDRESS, Lobby


@dataclass(eq=False)
class Visitor:
    source: str
    is_stranger: bool = True

    def abort(self) -> None:
        self.is_stranger = False


def enter(lobby: Lobby[Visitor], source: str, count: int = 1) -> list[Visitor]:
    visitors = [Visitor(source) for _ in range(count)]
    for visitor in visitors:
        lobby.enter(visitor)
    return visitors


def strangers(lobby: Lobby[Visitor]) -> int:
    return sum(visitor.is_stranger for visitor in lobby.all())


def test_one_address_has_only_so_many_and_the_newest_gets_in() -> None:
    lobby = Lobby[Visitor]()
    visitors = enter(lobby, "a", MAX_STRANGERS_PER_ADDRESS + 3)
    assert strangers(lobby) == MAX_STRANGERS_PER_ADDRESS
    assert [visitor.is_stranger for visitor in visitors[:4]] == [False, False, False, True]


def test_all_together_are_only_so_many_and_the_greediest_address_gives_way() -> None:
    lobby = Lobby[Visitor]()
    (modest,) = enter(lobby, "modest")
    greedy = enter(lobby, "greedy", MAX_STRANGERS_PER_ADDRESS)
    for number in range(MAX_STRANGERS - 2):
        enter(lobby, f"address {number}")
    assert strangers(lobby) == MAX_STRANGERS
    assert modest.is_stranger, "who came first from elsewhere is not pushed out"
    assert [visitor.is_stranger for visitor in greedy] == [False] * (MAX_STRANGERS_PER_ADDRESS - 1) + [True]


def test_who_has_logged_in_is_no_stranger() -> None:
    lobby = Lobby[Visitor]()
    (session,) = enter(lobby, "a")
    session.is_stranger = False
    enter(lobby, "a", MAX_STRANGERS_PER_ADDRESS)
    assert strangers(lobby) == MAX_STRANGERS_PER_ADDRESS


def test_who_leaves_makes_room() -> None:
    lobby = Lobby[Visitor]()
    visitors = enter(lobby, "a", MAX_STRANGERS_PER_ADDRESS)
    lobby.leave(visitors[0])
    enter(lobby, "a")
    assert all(visitor.is_stranger for visitor in visitors[1:])
