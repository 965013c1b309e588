"""Options: units are asked for, limits are kept, both starts read the same table."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from fanout_app.core.errors import OptionError
from fanout_app.core.limits import Limits
from fanout_app.core.redelivery import Backoff
from fanout_app.limits import limits_of
from fanout_app.options import TABLE, Options, from_environment


def parse(*arguments: str) -> tuple[Options | None, str]:
    found: list[Options] = []
    command = click.Command("fanout", params=list(TABLE), callback=lambda **params: found.append(Options(**params)))
    result = CliRunner().invoke(command, ["--id", "a", "--topic", "t", *arguments])
    if isinstance(result.exception, OptionError):
        raise result.exception
    return (found[0] if found else None), result.output


def options(*arguments: str) -> Options:
    """Options that can be read."""
    parsed, said = parse(*arguments)
    assert parsed is not None, said
    return parsed


def test_a_leader_has_to_stop_before_it_is_missed() -> None:
    assert options("--leader-lease", "2.9s").leader_lease == 2.9
    with pytest.raises(OptionError, match=r"--leader-lease .* is not shorter than --leader-timeout"):
        parse("--leader-lease", "3s")


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
        (("--brokers", "one:9092,two"), "HOST:PORT, several joined by commas"),
        (("--brokers", "one:99999"), "'one:99999' has no port between 1 and 65535"),
        (("--bind", "127.0.0.1:65536"), "no port between 0 and 65535"),
        (("--zookeepers", "one two"), "/CHROOT"),
        (("--zookeepers", "one:2181/a,two:2181/b"), "/CHROOT"),
        (("--topic", ".."), "1 to 249 of A-Z a-z 0-9 . _ -"),
        (("--topic", "a/b"), "1 to 249 of A-Z a-z 0-9 . _ -"),
        (("--dead-letter-topic", "a b"), "1 to 249 of A-Z a-z 0-9 . _ -"),
        (("--max-deliver", "0"), "range"),
        (("--backoff-jitter", "1.1"), "range"),
        (("--backoff-first", "1"), "has no unit"),
        (("--long-delay", "2d"), "out of range"),
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--backoff-first", "2s", "--backoff-longest", "1s"), "--backoff-first.*make it shorter"),
        (("--topic", "t" * 249), "250 characters together; Kafka has room for 223"),
        (("--dead-letter-topic", "t"), "the topic it hands out: choose another"),
        (("--dead-letter-topic", "fanout_a_t"), "fanout keeps itself: choose another"),
        (("--dead-letter-topic", "fanout_a_t-parked"), "fanout keeps itself: choose another"),
        (("--dead-letter-topic", "fanout_a_t-ledgers-changelog"), "fanout keeps itself: choose another"),
        (("--bind", "[::1]:6066", "--admin-port", "6066"), "--admin-port 6066 is the port of --bind: choose another"),
        (("--insecure", "--tokens-file", ""), "--insecure says that nobody .* --tokens-file .* leave one out"),
    ],
)
def test_options_that_contradict_each_other_are_refused(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        parse(*arguments)


def test_the_longest_names_that_fit_are_taken() -> None:
    options, _ = parse("--topic", "t" * 222)
    assert options is not None
    assert len(options.changelog) == 249


@pytest.mark.parametrize("hosts", ["", "none", "zk:2181", "zk_1:2181,[::1]:2182", "zk:2181,zk2:2181/kafka/one"])
def test_zookeepers_may_be_left_open_none_several_and_below_a_node(hosts: str) -> None:
    options, _ = parse("--zookeepers", hosts)
    assert options is not None
    assert options.zookeepers == hosts


def test_what_is_said_of_redelivery_reaches_the_queue() -> None:
    options, _ = parse(
        *("--max-deliver", "7", "--backoff-first", "200ms", "--backoff-longest", "3s", "--backoff-jitter", "0.25"),
        *("--long-delay", "20s", "--other-client-wait", "2s", "--max-row-bytes", "1MiB"),
    )
    assert options is not None
    limits = limits_of(options)
    assert limits.backoff == Backoff(first=0.2, longest=3.0, jitter_share=0.25)
    assert (limits.max_deliver, limits.long_delay, limits.other_client_wait) == (7, 20.0, 2.0)
    assert limits.max_row_bytes == 1 << 20


@pytest.mark.parametrize(("order", "by_key"), [("none", False), ("key", True)])
def test_the_order_reaches_the_queue(order: str, by_key: bool) -> None:
    options, _ = parse("--order", order)
    assert options is not None
    assert limits_of(options).order_by_key is by_key


def test_an_order_that_nobody_knows_is_refused() -> None:
    options, said = parse("--order", "offset")
    assert options is None
    assert "'none', 'key'" in said


def test_unless_said_otherwise_the_queue_has_its_own_defaults() -> None:
    options, _ = parse()
    assert options is not None
    assert limits_of(options) == Limits()


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


def test_no_option_begins_as_one_that_faust_takes_off_the_command_line_when_it_is_imported() -> None:
    assert [option.name for option in TABLE if option.opts[0].startswith(("--loop", "--datadir"))] == []
