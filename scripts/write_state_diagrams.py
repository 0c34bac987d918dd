"""Writes docs/state-machines.md from the tables in ``twinlock.iscsi``."""

from pathlib import Path
from typing import Any

from twinlock.iscsi.machine import Arrow, StateMachine, label
from twinlock.iscsi.machines import MACHINES

PAGE = Path(__file__).parents[1] / "docs" / "state-machines.md"
HEAD = """\
# State machines

The state machines of the iSCSI layer are tables in the code: for each state and each event, the state
that follows and what is done. These diagrams are made of the tables, and the tests walk through every
pair of a state and an event. An arrow says `event / action`.
"""


def page() -> str:
    """The page, from the tables in ``twinlock.iscsi.machines``."""
    return HEAD + "".join(map(_section, MACHINES))


def _section(machine: StateMachine[Any, Any, Any]) -> str:
    names = {label(state): f"s{number}" for number, state in enumerate(machine.states)}
    lines = [
        "stateDiagram-v2",
        *(f'    state "{name}" as {short}' for name, short in names.items()),
        *(f"    [*] --> {names[label(state)]}" for state in machine.starts),
        *(_arrow(names, arrow) for arrow in machine.arrows()),
        *(f"    {names[label(state)]} --> [*]" for state in machine.states if state in machine.final),
    ]
    state, action = machine.otherwise
    following = f"leads to *{label(state)}*" if state else "leaves the state as it is"
    return (
        f"\n## {machine.title}\n\n{machine.section}. Everything that is not shown ({action}) {following}.\n\n"
        "```mermaid\n" + "\n".join(lines) + "\n```\n"
    )


def _arrow(names: dict[str, str], arrow: Arrow) -> str:
    action = f" / {arrow.action}" if arrow.action else ""
    return f"    {names[arrow.state]} --> {names[arrow.following]}: {arrow.event}{action}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
