"""What can happen in the full feature phase, as a table of steps.

``TRUE`` are the steps of an initiator that keeps to the standard: whatever it asks,
it must be answered.  ``FALSE`` are those of one that does not.
"""

from collections.abc import Callable

from tests.fuzz import cdbs, setups
from tests.fuzz.choices import Choices, table
from tests.fuzz.logins import any_keys, send, text_of
from tests.fuzz.oracle import rules
from tests.fuzz.player import Player, Solicited
from twinlock.wire.iscsi_requests import (
    LogoutRequest,
    NopOut,
    SnackRequest,
    TaskManagementRequest,
    TextRequest,
)

Step = Callable[[Player], None]


# -- by the standard ------------------------------------------------------------------------------


def command(player: Player) -> None:
    """Any command of the opcode table."""
    player.command(cdbs.request(player.choices, player.link.disk), cdbs.lun(player.choices))


def read_or_write(player: Player) -> None:
    """The commands that matter most: READ and WRITE (10) inside the disk."""
    choices, disk = player.choices, player.link.disk
    blocks = choices.pick((1, 8, 2, 16))
    start = choices.below(disk.blocks // 2 - 16)
    tail = start.to_bytes(4, "big") + b"\0" + blocks.to_bytes(2, "big") + bytes(7)
    size = blocks * disk.block_size
    if choices.chance(60):
        player.command(cdbs.Request(b"\x2a\0" + tail, choices.bytes(size)))
    else:
        player.command(cdbs.Request(b"\x28\0" + tail, data_in=size))


def answer_r2t(player: Player) -> None:
    if player.r2ts:
        player.data_out(player.r2ts.pop(0))


def nop_out(player: Player) -> None:
    data = player.choices.bytes(player.choices.pick((0, 4, 16, 700, 5)))
    player.put(NopOut(**player.numbers(immediate=player.choices.chance(70))), data)


def answer_ping(player: Player) -> None:
    if player.pings:
        header = NopOut(
            initiator_task_tag=rules.NO_TAG,
            target_transfer_tag=player.pings.pop(0),
            cmd_sn=player.cmd_sn,
            exp_stat_sn=player.exp_stat_sn,
        )
        player.put(header)


def text(player: Player) -> None:
    """SendTargets, or the next part of its answer."""
    choices = player.choices
    if player.text_tags:
        tag = player.text_tags.pop()
        player.put(TextRequest(**player.numbers()).replace(target_transfer_tag=tag))
        return
    keys = {"SendTargets": choices.pick(("All", "", setups.TARGET, setups.LOCKED))}
    player.put(TextRequest(**player.numbers()), text_of(keys))


def owner_acts(player: Player) -> None:
    """The target's end does something: completes a command, pings, resets, ..."""
    player.learn(player.link.act(player.choices, fair=player.honest))


def neighbour_visits(player: Player) -> None:
    player.link.visit()


TRUE: tuple[Step, ...] = table(
    (8, command), (8, read_or_write), (10, answer_r2t), (2, nop_out), (2, answer_ping), (1, text),
    (8, owner_acts), (1, neighbour_visits),
)  # fmt: skip


# -- against it -----------------------------------------------------------------------------------


def wild_command(player: Player) -> None:
    """Any bytes as a CDB, any flags, any length."""
    choices = player.choices
    fields = {"expected_data_transfer_length": choices.number(4)} if choices.chance(40) else {}
    if choices.chance(30):
        fields |= {"read": choices.chance(50), "write": choices.chance(50), "final": choices.chance(50)}
    if choices.chance(20):
        fields["attribute"] = choices.below(8)
    player.command(cdbs.wild(choices), cdbs.lun(choices), **fields)


def bad_data_out(player: Player) -> None:
    """Data at a wrong place, out of order, with a wrong tag, or of no task."""
    choices = player.choices
    asked = player.r2ts[0] if player.r2ts else Solicited(1, rules.NO_TAG, 0, 512, bytes(8))
    itt = choices.pick((asked.itt, asked.itt, *player.tags[-2:], choices.number(4)))
    tag = choices.pick((asked.tag, asked.tag, rules.NO_TAG, choices.number(4)))
    offset = choices.pick((asked.offset, asked.offset + 1, 0, choices.number(4))) & 0xFFFFFFFF
    player.data_out(Solicited(itt, tag, offset, choices.pick((asked.length, 512, 0, 700)), asked.lun))


def task_management(player: Player) -> None:
    """Any function, mostly at a task that is there."""
    choices = player.choices
    header = TaskManagementRequest(
        **player.numbers(immediate=not choices.chance(20)),
        function=choices.pick((1, 1, 2, 4, 5, 6, 7, 3, 8, 99)),
    )
    player.put(
        header.replace(
            lun=cdbs.lun(choices),
            referenced_task_tag=choices.pick((*player.tags[-4:], rules.NO_TAG, choices.number(4))),
            ref_cmd_sn=player.cmd_sn - choices.below(4) & 0xFFFFFFFF,
        )
    )


def any_text(player: Player) -> None:
    choices = player.choices
    header = TextRequest(**player.numbers(immediate=choices.chance(20)), final=not choices.chance(20))
    tag = choices.pick((rules.NO_TAG, rules.NO_TAG, choices.number(4), *player.text_tags[-1:]))
    player.put(header.replace(more=choices.chance(20), target_transfer_tag=tag), text_of(any_keys(choices)))


def skip_numbers(player: Player) -> None:
    """Commands are missing: those that follow come early, or are outside the window."""
    player.cmd_sn = player.cmd_sn + player.choices.pick((1, 1, 2, -1, 200)) & 0xFFFFFFFF


def fill_gap(player: Player) -> None:
    """Back to the number that the target waits for, as far as is known."""
    player.cmd_sn = player.max_cmd_sn - 127 & 0xFFFFFFFF


def snack(player: Player) -> None:
    choices = player.choices
    header = SnackRequest(initiator_task_tag=choices.pick((*player.tags[-2:], rules.NO_TAG)))
    player.put(header.replace(type=choices.below(5), begin=choices.below(4), length=choices.below(4)))


def log_in_again(player: Player) -> None:
    send(player, text_of(any_keys(player.choices)), player.choices.below(4), 3)


def log_out(player: Player) -> None:
    choices = player.choices
    header = LogoutRequest(**player.numbers(immediate=choices.chance(50)), reason=choices.pick((0, 1, 2, 77)))
    player.put(header.replace(cid=choices.pick((0, 0, 9))))


def twice(player: Player) -> None:
    player.repeat()


def noise(player: Player) -> None:
    player.put_raw(player.choices.bytes(player.choices.pick((16, 48, 60, 1))))
    player.flush()


FALSE: tuple[Step, ...] = (
    *TRUE,
    *table(
        (3, wild_command), (4, bad_data_out), (3, task_management), (1, any_text), (2, skip_numbers),
        (1, fill_gap), (1, snack), (1, log_in_again), (1, log_out), (1, twice),
    ),
)  # fmt: skip
RARE: tuple[Step, ...] = (log_out, noise, log_in_again)


TRUE_DISCOVERY: tuple[Step, ...] = table((5, text), (2, nop_out), (1, answer_ping), (2, owner_acts))
FALSE_DISCOVERY: tuple[Step, ...] = (
    *TRUE_DISCOVERY,
    *table((3, any_text), (1, command), (1, task_management), (1, skip_numbers), (1, log_out), (1, twice)),
)


def step(player: Player) -> None:
    """The next thing that happens."""
    choices: Choices = player.choices
    discovery = player.link.judge.discovery
    if not player.honest:
        usual = FALSE_DISCOVERY if discovery else FALSE
        choices.pick(RARE if choices.byte() == 0xFF else usual)(player)
    elif player.window_open:
        choices.pick(TRUE_DISCOVERY if discovery else TRUE)(player)
    else:
        player.flush()
        owner_acts(player)
        answer_r2t(player)
