"""One input from beginning to end: logins, steps, the end of each session, and what must hold then."""

from tests.fuzz.choices import Choices
from tests.fuzz.link import Link
from tests.fuzz.logins import log_in
from tests.fuzz.oracle.rules import require
from tests.fuzz.player import Player
from tests.fuzz.steps import answer_r2t, log_out, nop_out, step

MOST_STEPS = 200
"""In one session."""
MOST_ROUNDS = 20_000
"""Of R2Ts and their answers, until all is answered; a window of writes in small bursts takes thousands."""
MOST_SESSIONS = 4
_LIES = (0, 0, 5, 20)


def play(choices: Choices, link: Link) -> None:
    """Play an input against a target; raises what it finds."""
    player = Player(choices, link, lies=choices.pick(_LIES))
    for _ in range(MOST_SESSIONS):
        _session(player)
        link.hang_up()
        link.visit()
        if not choices.left:
            return
        link.connect()
        player.begin()


def _session(player: Player) -> None:
    choices, link = player.choices, player.link
    log_in(player)
    if not link.judge.logged_in and not choices.chance(20):
        return
    for _ in range(MOST_STEPS):
        if link.over or not choices.left or choices.byte() == 0xFE:
            break
        step(player)
    if player.honest:
        _all_answered(player)
    elif choices.chance(30):
        log_out(player)
    player.flush()


def _all_answered(player: Player) -> None:
    """Who keeps to the standard gets an answer to everything, unless the connection ends."""
    judge = player.link.judge
    player.flush()
    for _ in range(MOST_ROUNDS):
        player.learn(player.link.settle())
        if player.link.over:
            return
        if player.r2ts:
            answer_r2t(player)
            player.flush()
        elif not (judge.unanswered and judge.solicits):
            break
    require(not judge.unanswered, f"{judge.unanswered} requests were never answered")
    nop_out(player)  # its answer shows the numbers as they are now
    player.flush()
    player.learn(player.link.settle())
    slots = judge.missing_slots
    require(player.link.over or slots <= 0, f"{slots} slots of the command window were not given back")
