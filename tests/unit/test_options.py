"""Options: units are asked for, limits are kept, both starts read the same table."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from fanout_app.core.errors import OptionError
from fanout_app.options import TABLE, Options, from_environment


def parse(*arguments: str) -> tuple[Options | None, str]:
    found: list[Options] = []
    command = click.Command("fanout", params=list(TABLE), callback=lambda **params: found.append(Options(**params)))
    result = CliRunner().invoke(command, ["--id", "a", "--topic", "t", *arguments])
    return (found[0] if found else None), result.output


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in TABLE:
        monkeypatch.delenv(str(option.envvar), raising=False)


def test_defaults_are_in_seconds_and_bytes() -> None:
    options, _ = parse()
    assert options is not None
    assert (options.ack_wait, options.session_timeout, options.buffer_bytes) == (30.0, 6.0, 64 << 20)
    assert (options.start_from, options.bind, options.name) == ("earliest", None, "fanout_a_t")


@pytest.mark.parametrize(
    ("written", "seconds"), [("500ms", 0.5), ("30s", 30.0), ("2m", 120.0), ("1h", 3600.0), ("1.5s", 1.5)]
)
def test_times_carry_their_unit(written: str, seconds: float) -> None:
    options, _ = parse("--ack-wait", written)
    assert options is not None
    assert options.ack_wait == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("--ack-wait", "30"), "has no unit; write it like 30s"),
        (("--buffer-bytes", "1000"), "has no unit; write it like 64MiB"),
        (("--buffer-bytes", "1GB"), "write it like 64MiB"),
        (("--ack-wait", "1ms"), "out of range"),
        (("--brokers", "kafka"), "HOST:PORT"),
        (("--bind", "6066"), "HOST:PORT"),
        (("--id", "a b"), "1 to 100 of A-Z a-z 0-9 . _ -"),
        (("--from", "newest"), "'earliest', 'latest'"),
        (("--max-waiting", "0"), "range"),
    ],
)
def test_a_bad_value_is_refused_with_what_to_write(arguments: tuple[str, ...], hint: str) -> None:
    options, output = parse(*arguments)
    assert options is None
    assert hint in output


def test_the_environment_gives_the_same_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANOUT_ID", "a")
    monkeypatch.setenv("FANOUT_TOPIC", "t")
    monkeypatch.setenv("FANOUT_ACK_WAIT", "2s")
    monkeypatch.setenv("FANOUT_FROM", "latest")
    monkeypatch.setenv("FANOUT_VERBOSE", "1")
    from_command, _ = parse("--ack-wait", "2s", "--from", "latest", "--verbose")
    assert from_environment() == from_command


def test_what_is_missing_in_the_environment_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="FANOUT_ID"):
        from_environment()
    monkeypatch.setenv("FANOUT_ID", "a")
    with pytest.raises(OptionError, match="FANOUT_TOPIC"):
        from_environment()


def test_every_option_has_a_variable_and_says_what_it_does() -> None:
    for option in TABLE:
        assert str(option.envvar).startswith("FANOUT_")
        assert option.help
        assert option.envvar != "FANOUT_PORT", "a Kubernetes Service named fanout would set it"
