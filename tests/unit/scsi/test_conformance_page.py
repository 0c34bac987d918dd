"""``docs/conformance.md`` lists the opcode table as it is."""

import re
from pathlib import Path

from twinlock.scsi.logical_unit import COMMANDS
from twinlock.scsi.vpd import DISK_PAGES

PAGE = Path(__file__).parents[3] / "docs" / "conformance.md"


def test_every_command_is_listed_and_no_other() -> None:
    listed = re.findall(
        r"^\| ([0-9A-F]{2}h(?:/[0-9A-F]{2}h)?) \| ([A-Z() 0-9-]+?) \|", PAGE.read_text(), re.MULTILINE
    )
    assert listed == [
        (
            f"{each.opcode:02X}h" + ("" if each.service_action is None else f"/{each.service_action:02X}h"),
            each.name,
        )
        for each in sorted(COMMANDS, key=lambda each: (each.opcode, each.service_action or 0))
    ]


def test_every_vpd_page_is_listed() -> None:
    text = PAGE.read_text()
    assert [page for page in DISK_PAGES if f"{page:02X}h" not in text] == []
