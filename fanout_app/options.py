"""Every option in one table: name, unit, default, environment variable and what it does.

``fanout`` reads it from the command line and the environment, ``faust -A fanout_app worker`` from the environment only.
Values carry their unit (``30s``, ``500ms``, ``64MiB``); a bare number is refused, since nobody can tell what it means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from fanout_app.core.errors import OptionError

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


class _WithUnit(click.ParamType):
    """A number with one of the units given, between two limits (in the base unit)."""

    def __init__(self, name: str, units: Mapping[str, float], low: float, high: float, example: str) -> None:
        self.name = name
        self._units = units
        self._low = low
        self._high = high
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", value.strip())
        if match is None or (match[2] not in self._units and match[2] != ""):
            self.fail(f"{value!r} is not a {self.name}; write it like {self._example}", param, ctx)
        if match[2] == "":
            self.fail(f"{value!r} has no unit; write it like {self._example} ({', '.join(self._units)})", param, ctx)
        number = float(match[1]) * self._units[match[2]]
        if not self._low <= number <= self._high:
            self.fail(f"{value!r} is out of range: {self._low:g} to {self._high:g} {self._base}", param, ctx)
        return number

    @property
    def _base(self) -> str:
        return next(unit for unit, factor in self._units.items() if factor == 1)


def _time(low: float, high: float, example: str) -> _WithUnit:
    return _WithUnit("time", _SECONDS, low, high, example)


def _size(low: float, high: float, example: str) -> _WithUnit:
    return _WithUnit("size", _BYTES, low, high, example)


class _Matching(click.ParamType):
    """Text of a given form."""

    def __init__(self, name: str, pattern: str, form: str) -> None:
        self.name = name
        self._pattern = re.compile(pattern)
        self._form = form

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not self._pattern.fullmatch(value):
            self.fail(f"{value!r} must be {self._form}", param, ctx)
        return str(value)


_HOSTS = _Matching("hosts", r"[^\s,:/]+:\d{1,5}(,[^\s,:/]+:\d{1,5})*", "HOST:PORT, several joined by commas")
_BIND = _Matching("address", r"(\[[0-9a-fA-F:]+\]|[^\s,:/]+):\d{1,5}", "HOST:PORT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of one worker. Times in seconds, sizes in bytes."""

    id: str
    topic: str
    brokers: str
    zookeepers: str
    bind: str | None
    ack_wait: float
    start_from: str
    isolation_level: str
    buffer_bytes: float
    max_ack_pending: int
    client_limit: int
    client_ttl: float
    max_waiting: int
    max_row_bytes: float
    session_timeout: float
    commit_interval: float
    drain: float
    lease_key_file: str | None
    dead_letter_topic: str | None
    verbose: bool

    @property
    def name(self) -> str:
        """Consumer group, Faust app and prefix of every topic of ours: one name for one ACL."""
        return f"fanout_{self.id}_{self.topic}"

    @property
    def brokers_list(self) -> list[str]:
        return self.brokers.split(",")


def _option(name: str, help: str, **attributes: Any) -> click.Option:
    variable = "FANOUT_" + name.upper().replace("-", "_")
    return click.Option([f"--{name}"], envvar=variable, show_envvar=True, help=help, **attributes)


TABLE: tuple[click.Option, ...] = (
    _option(
        "id",
        "Name of the service: workers with the same id and topic share the work.",
        required=True,
        type=_Matching("id", r"[A-Za-z0-9._-]{1,100}", "1 to 100 of A-Z a-z 0-9 . _ -"),
    ),
    _option(
        "topic",
        "Kafka topic whose messages are handed out.",
        required=True,
        type=_Matching("topic", r"[A-Za-z0-9._-]{1,249}", "the name of a Kafka topic"),
    ),
    _option("brokers", "Kafka brokers to start from.", default="127.0.0.1:9092", show_default=True, type=_HOSTS),
    _option("zookeepers", "ZooKeeper servers; empty: do without.", default="", type=click.STRING),
    _option(
        "bind",
        "Address to serve HTTP on. Default 127.0.0.1:6066, or the next free port up to 6099 if that is taken.",
        default=None,
        type=_BIND,
    ),
    _option(
        "ack-wait",
        "How long a lease lasts if the pull does not say.",
        default="30s",
        show_default=True,
        type=_time(0.05, 43200, "30s"),
    ),
    click.Option(
        ["--from", "start_from"],
        envvar="FANOUT_FROM",
        show_envvar=True,
        help="Where a new id starts: at the first message of the topic, or behind the last.",
        default="earliest",
        show_default=True,
        type=click.Choice(["earliest", "latest"]),
    ),
    _option(
        "isolation-level",
        "Whether messages of open and aborted transactions are handed out.",
        default="read_committed",
        show_default=True,
        type=click.Choice(["read_committed", "read_uncommitted"]),
    ),
    _option(
        "buffer-bytes",
        "Bodies held in memory, buffered and leased; fetching stops above it.",
        default="64MiB",
        show_default=True,
        type=_size(1 << 10, 1 << 40, "64MiB"),
    ),
    _option(
        "max-ack-pending",
        "Unsettled messages held per partition; fetching of that partition stops above it.",
        default=10_000,
        show_default=True,
        type=click.IntRange(1, 10_000_000),
    ),
    _option(
        "client-limit",
        "Messages in flight per client; a pull of a client that has so many waits.",
        default=1000,
        show_default=True,
        type=click.IntRange(1, 1_000_000),
    ),
    _option(
        "client-ttl",
        "How long a client counts as alive after its last pull or lease.",
        default="10s",
        show_default=True,
        type=_time(0.1, 3600, "10s"),
    ),
    _option(
        "max-waiting",
        "Pulls that may wait at once; further ones are answered 429.",
        default=10_000,
        show_default=True,
        type=click.IntRange(1, 1_000_000),
    ),
    _option(
        "max-row-bytes",
        "Size of a ledger row at which intake of its partition stops; must fit the broker's max.message.bytes.",
        default="512KiB",
        show_default=True,
        type=_size(1 << 10, 1 << 30, "512KiB"),
    ),
    _option(
        "session-timeout",
        "How long the broker waits for a silent worker before its partitions go to others.",
        default="6s",
        show_default=True,
        type=_time(3, 600, "6s"),
    ),
    _option(
        "commit-interval",
        "How often floors are committed to the consumer group.",
        default="3s",
        show_default=True,
        type=_time(0.1, 600, "3s"),
    ),
    _option(
        "drain",
        "How long requests are still served after SIGTERM.",
        default="3s",
        show_default=True,
        type=_time(0, 60, "3s"),
    ),
    _option(
        "lease-key-file",
        "Keys for lease tokens, one a line, the first signs. Default: made once and kept in ZooKeeper or Kafka.",
        default=None,
        type=click.Path(exists=True, dir_okay=False),
    ),
    _option("dead-letter-topic", "Where rejected messages go. Default: they are parked.", default=None),
    click.Option(
        ["--verbose/--quiet"], envvar="FANOUT_VERBOSE", show_envvar=True, default=False, help="Log every decision."
    ),
)


def from_environment() -> Options:
    """Read the options from the environment alone, as ``faust -A fanout_app worker`` does.

    Raises:
        OptionError: one is missing or wrong; the message names it and its variable.
    """
    command = click.Command("fanout", params=list(TABLE))
    try:
        with command.make_context("fanout", []) as context:
            return Options(**context.params)
    except click.MissingParameter as error:
        variable = getattr(error.param, "envvar", "")
        raise OptionError(f"{variable} is not set: export {variable}=...") from error
    except click.UsageError as error:
        raise OptionError(error.format_message()) from error
