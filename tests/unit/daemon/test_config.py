"""The configuration file: strict when read, gentle when written."""

from pathlib import Path
from uuid import UUID

import pytest

from twinlock.daemon.config import ConfigurationFile, VolumeTable
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
        ('[[volume]]\nname = "a"\nmembers = ["/x", "/y", "/z"]\n', 3, "two are the most"),
        ('[[volume]]\nname = "a"\nmembers = "/x"\n', 3, "it is a list"),
        ("[server]\nportals = []\n", 2, "at least one"),
        ("volume = 5\n", 1, "it is a list"),
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
