"""The configuration file: strict when read, gentle when written."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlock.daemon.config import ConfigurationFile
from twinlock.daemon.settings import VolumeTable
from twinlock.errors import ConfigurationInvalid

VOLUME = '[[volume]]\nname = "a"\nmembers = ["/x", "/y"]\n'


@pytest.fixture
def file(tmp_path: Path) -> ConfigurationFile:
    return ConfigurationFile(tmp_path / "twinlock.toml")


def test_a_missing_file_is_an_empty_one(file: ConfigurationFile) -> None:
    configuration = file.load()
    assert configuration.volume == ()
    assert configuration.server.portals == ("[::]:3260",)
    assert not file.path.exists()


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (VOLUME + "colour = 1\n", 4, "no setting 'colour'"),
        ("# first\n" + VOLUME + "\n[server]\nport = 5\n", 7, "no setting 'port'"),
        ('[server]\nportals = ["here"]\n', 2, "no ADDRESS:PORT"),
        ('[[volume]]\nname = "A b"\nmembers = ["/x"]\n', 2, "lower-case"),
        (VOLUME + '\n[[volume]]\nname = "b"\nmembers = []\n', 7, "members"),
        ('[[volume]]\nname = "a"\n', 1, "members"),
        (VOLUME + "block_size = 1000\n", 4, "512 or 4096"),
        (VOLUME + 'target = "no name"\n', 4, "iqn."),
        (VOLUME + VOLUME, 4, "two volumes are called a"),
        (
            VOLUME + '\n[[volume]]\nname = "b"\nmembers = ["/x"]\ntarget = "iqn.2026-11.io.twinlock:a"\n',
            5,
            "two",
        ),
        (VOLUME + "chap =\n", 4, "not finished"),
        (VOLUME + "[server", 4, "not finished"),
        (VOLUME + 'array = "zz"\n', 4, "no UUID"),
        (VOLUME + 'chap = "no"\n', 4, "true or false"),
        (VOLUME + "chap = 0\n", 4, "true or false"),
        (VOLUME + "block_size = 512\n", 1, "the container tells it"),
        ('[[volume]]\nname = "a"\nmembers = ["x"]\n', 3, "does not begin with /"),
        ('[[volume]]\nname = "a"\nmembers = ["/x", "/x"]\n', 3, "different"),
        (
            '[[volume]]\nname = "a"\nmembers = ["/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8", "/9"]\n',
            3,
            "8 are the most",
        ),
        ('[[volume]]\nname = "a"\nmembers = "/x"\n', 3, "it is a list"),
        ("[server]\nportals = []\n", 2, "at least one"),
        ('[server]\nportals = ["10.0.0.5", "0.0.0.0:3260"]\n', 2, "0.0.0.0:3260 is 10.0.0.5:3260 as well"),
        ('[server]\nportals = ["[::]:3260", "[fd00::5]:3260"]\n', 2, "[::]:3260 is [fd00::5]:3260 as well"),
        ("volume = 5\n", 1, "it is a list"),
        (VOLUME + 'shared = "yes"\n', 4, "true or false"),
        (VOLUME + "discard = 1\n", 4, "true or false"),
        (VOLUME + 'initiators = "iqn.2026-11.net.example:pc"\n', 4, "initiators: it is a list, in brackets"),
        (VOLUME + 'initiators = ["pc"]\n', 4, "no initiator's name"),
        (VOLUME + 'networks = ["192.168.1.5/24"]\n', 4, "192.168.1.0/24 for the network"),
        (VOLUME + 'networks = ["home"]\n', 4, "no network"),
        ('[server]\npatience = "3"\n', 2, "a number of seconds"),
        ("[server]\npatience = true\n", 2, "a number of seconds"),
        ("[server]\npatience = 0.5\n", 2, "at least 1"),
        ("[server]\npatience = nan\n", 2, "patience"),
        ('[server]\ndiscovery_chap = "no"\n', 2, "true or false"),
        ('[server]\nportals = ["[fe80::1]"]\n', 2, "write the interface too"),
        ('[server]\nportals = ["10.0.0.5", "10.0.0.5:3260"]\n', 2, "must be different"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(
    file: ConfigurationFile, text: str, line: int, words: str
) -> None:
    file.path.write_text(text)
    with pytest.raises(ConfigurationInvalid) as caught:
        file.load()
    assert f"line {line}:" in str(caught.value)
    assert words in str(caught.value)
    assert str(file.path) in str(caught.value)
    assert file.path.read_text() == text


def test_adding_a_volume_keeps_what_a_person_wrote(file: ConfigurationFile) -> None:
    before = "# my disks\n[server]\nportals = ['10.0.0.5']  # the inner network\n"
    file.path.write_text(before)
    file.add(VolumeTable(name="a", members=("/x", "/y"), array=UUID(int=7)))
    file.add(VolumeTable(name="b", members=("/z",), chap=False, encrypted=False, block_size=4096))
    assert file.path.read_text().startswith(before)
    first, second = file.load().volume
    assert (first.name, first.members, first.array) == ("a", ("/x", "/y"), UUID(int=7))
    assert (second.chap, second.encrypted, second.block_size) == (False, False, 4096)


def test_a_crash_while_writing_leaves_the_old_file(
    file: ConfigurationFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.path.write_text(VOLUME)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("twinlock.daemon.config.os.replace", crash)
    with pytest.raises(KeyboardInterrupt):
        file.add(VolumeTable(name="b", members=("/z",)))
    assert file.path.read_text() == VOLUME
    assert list(file.path.parent.iterdir()) == [file.path]


HAND_WRITTEN = """\
# my disks

[server]
portals = ["10.0.0.5"]  # the inner network
patience = 20

# the first
[[volume]]
name = "a"   # short
members = [
  "/x",  # left
  "/y",  # right
]
discard = true  # the SSDs like it

# the second; do not touch
[[volume]]
name = "b"
members = ["/z"]
# the end
"""


def test_a_setting_that_is_there_keeps_its_line_and_comment(file: ConfigurationFile) -> None:
    file.path.write_text(HAND_WRITTEN)
    file.change("a", {"discard": False})
    expected = HAND_WRITTEN.replace("discard = true  #", "discard = false  #")
    assert file.path.read_text() == expected


def test_a_new_setting_stands_in_its_table_before_the_comments_of_the_next(file: ConfigurationFile) -> None:
    file.path.write_text(HAND_WRITTEN)
    file.change("a", {"shared": True, "networks": ["10.0.0.0/8", "fd00::1"]})
    file.change("b", {"read_only": True})
    file.change_server({"discovery_chap": True})
    expected = HAND_WRITTEN.replace(
        "like it\n", 'like it\nshared = true\nnetworks = ["10.0.0.0/8", "fd00::1"]\n'
    )
    expected = expected.replace('["/z"]\n', '["/z"]\nread_only = true\n')
    expected = expected.replace("patience = 20\n", "patience = 20\ndiscovery_chap = true\n")
    assert file.path.read_text() == expected


def test_what_is_so_already_is_not_written(file: ConfigurationFile) -> None:
    file.path.write_text(HAND_WRITTEN)
    before = file.path.stat()
    file.change("b", {"shared": False, "networks": []})
    assert file.path.stat() == before


def test_a_server_table_is_made_where_there_is_none(file: ConfigurationFile) -> None:
    file.change_server({"discovery_chap": True})
    assert file.load().server.discovery_chap
    file.path.write_text(VOLUME)
    file.change_server({"discovery_chap": True})
    assert file.path.read_text() == VOLUME + "\n[server]\ndiscovery_chap = true\n"


def test_inline_tables_are_changed_too(file: ConfigurationFile) -> None:
    file.path.write_text('volume = [{ name = "a", members = ["/x"] }]  # short\n')
    file.change("a", {"shared": True})
    assert file.load().volume[0].shared
    assert file.path.read_text().endswith("# short\n")


def test_a_volume_that_someone_took_out_cannot_be_changed(file: ConfigurationFile) -> None:
    file.path.write_text(VOLUME)
    with pytest.raises(ConfigurationInvalid, match="no volume 'b' any more"):
        file.change("b", {"shared": True})


_SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "shared": st.booleans(),
        "read_only": st.booleans(),
        "discard": st.booleans(),
        "networks": st.lists(st.sampled_from(["10.0.0.0/8", "fd00::/8", "192.0.2.1"]), unique=True),
        "initiators": st.lists(st.sampled_from(["iqn.2026-11.net.example:a", "naa.52004567ba64678d"])),
    },
)


@settings(deadline=None, max_examples=15)
@given(changes=st.lists(st.tuples(st.sampled_from("ab"), _SETTINGS), max_size=4))
def test_any_changes_mean_what_was_asked_and_keep_every_comment(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, dict[str, Any]]]
) -> None:
    file = ConfigurationFile(tmp_path_factory.mktemp("any") / "twinlock.toml")
    file.path.write_text(HAND_WRITTEN)
    expected = {volume.name: volume.model_dump(mode="json") for volume in file.load().volume}
    for name, wanted in changes:
        file.change(name, wanted)
        expected[name] |= wanted
    assert {v.name: v.model_dump(mode="json") for v in file.load().volume} == expected
    text = file.path.read_text()
    comments = [line[line.index("#") :] for line in HAND_WRITTEN.splitlines() if "#" in line]
    assert [line[line.index("#") :] for line in text.splitlines() if "#" in line] == comments
