"""The file of lease keys: what is a key, what has changed, and that a bad file changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from fanout_app.core.errors import OptionError
from fanout_app.key_file import KeyFile

ONE, TWO = b"1" * 32, b"2" * 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_one_key_a_line_in_their_order_each_once(path: Path) -> None:
    path.write_bytes(b"\n  " + TWO + b"\t\r\n\n" + ONE + b"\n" + TWO)
    assert KeyFile(str(path)).read() == [TWO, ONE]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no key"),
        (b" \n\n", "holds no key"),
        (ONE + b"\n" + ONE[1:], "line 2 is no key"),
        (b"two words " + ONE, "line 1 is no key"),
        (b"\x80" + ONE, "line 1 is no key"),
    ],
)
def test_what_is_no_key_is_named_by_its_line_and_not_shown(path: Path, content: bytes, said: str) -> None:
    path.write_bytes(content)
    with pytest.raises(OptionError, match=f"{said}.*at least 32") as refused:
        KeyFile(str(path)).read()
    assert "111" not in str(refused.value)


def test_a_file_that_is_not_there_is_said_with_what_belongs_into_it(path: Path) -> None:
    with pytest.raises(OptionError, match=r"cannot be read \(No such file or directory\).*one key a line"):
        KeyFile(str(path)).read()


def test_only_a_change_of_keys_is_a_change(path: Path) -> None:
    path.write_bytes(ONE)
    keys = KeyFile(str(path))
    keys.read()
    assert keys.changed() is None
    path.write_bytes(ONE + b"\n\n")
    assert keys.changed() is None
    path.write_bytes(TWO + b"\n" + ONE)
    assert keys.changed() == [TWO, ONE]
    assert keys.changed() is None


def test_a_fault_is_said_once_until_it_is_another_or_over(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    path.write_bytes(ONE)
    keys = KeyFile(str(path))
    keys.read()
    for content, times in ((b"", 3), (b"short", 2), (ONE, 2), (b"", 2)):
        path.write_bytes(content)
        for _ in range(times):
            assert keys.changed() is None
    said = [(record.levelname, record.getMessage().partition(str(path))[2][:16]) for record in caplog.records]
    assert said == [
        ("ERROR", " holds no key: w"),
        ("ERROR", ": line 1 is no k"),
        ("INFO", " can be used aga"),
        ("ERROR", " holds no key: w"),
    ]
