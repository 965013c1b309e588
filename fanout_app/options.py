"""Every option in one table: name, unit, default, environment variable and what it does.

``fanout`` reads it from the command line and the environment, ``faust -A fanout_app worker`` from the environment only.
Values carry their unit (``30s``, ``500ms``, ``64MiB``); a bare number is refused, since nobody can tell what it means.
"""

from __future__ import annotations

from dataclasses import dataclass

import click

from fanout_app.connection_options import CONNECTION_OPTIONS
from fanout_app.core.errors import OptionError
from fanout_app.delivery_options import DELIVERY_OPTIONS
from fanout_app.option_types import Addresses, Matching, OrElse, option, size, time
from fanout_app.security_options import SECURITY_OPTIONS, SecurityOptions

#: Given for servers that are not to be looked for.
WITHOUT = "none"

_HOSTS = OrElse(Addresses("hosts", "HOST:PORT, several joined by commas", several=True))
_ZOOKEEPERS = OrElse(
    Addresses("hosts", "HOST:PORT, several joined by commas, then /CHROOT if any", several=True, path=True), WITHOUT
)
#: What Kafka takes for a topic's name.
_TOPIC = r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}"
_BIND = Addresses("address", "HOST:PORT", several=False, lowest_port=0)
_ADVERTISE = Addresses("address", "HOST:PORT", several=False)

#: Kafka's limit for the name of a topic, in characters.
_LONGEST_TOPIC = 249
_CHANGELOG = "-ledgers-changelog"
_PARKED = "-parked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(SecurityOptions):
    """The options of one worker. Times in seconds, sizes in bytes."""

    id: str
    topic: str
    #: Empty until `fanout_app.discovery` has looked for them, where they are not given.
    brokers: str
    zookeepers: str
    bind: str | None
    admin_port: int | None
    advertise: str | None
    ack_wait: float
    start_from: str
    isolation_level: str
    buffer_bytes: float
    max_ack_pending: int
    client_limit: int
    client_ttl: float
    max_waiting: int
    max_connections: int | None
    request_timeout: float
    answer_timeout: float
    idle_timeout: float
    max_header_size: float
    max_body_size: float
    max_streams: int
    max_row_bytes: float
    session_timeout: float
    zookeeper_timeout: float
    leader_lease: float
    leader_timeout: float
    routing: str
    delivery: str
    order: str
    commit_interval: float
    drain: float
    stall_timeout: float
    max_deliver: int | None
    backoff_first: float
    backoff_longest: float
    backoff_jitter: float
    long_delay: float
    other_client_wait: float
    dead_letter_topic: str | None
    insecure: bool
    verbose: bool

    def __post_init__(self) -> None:
        """Check what a single option cannot be checked for.

        Raises:
            OptionError: two of them contradict each other.
        """
        self.check_security()
        longest = max((self.changelog, self.parked), key=len)
        if len(longest) > _LONGEST_TOPIC:
            room = _LONGEST_TOPIC - (len(longest) - len(self.id) - len(self.topic))
            raise OptionError(
                f"--id and --topic are {len(self.id) + len(self.topic)} characters together; Kafka has room for {room} "
                "in the names of the topics made of them: choose a shorter --id"
            )
        if self.backoff_first > self.backoff_longest:
            raise OptionError(
                f"--backoff-first ({self.backoff_first:g}s) is longer than --backoff-longest "
                f"({self.backoff_longest:g}s): make it shorter"
            )
        if self.leader_lease >= self.leader_timeout:
            raise OptionError(
                f"--leader-lease ({self.leader_lease:g}s) is not shorter than --leader-timeout "
                f"({self.leader_timeout:g}s), so a leader would be missed that only waits for its turn: make it shorter"
            )
        if self.dead_letter_topic in (self.topic, self.name, self.changelog, self.parked):
            whose = "the topic it hands out" if self.dead_letter_topic == self.topic else "a topic fanout keeps itself"
            raise OptionError(f"--dead-letter-topic {self.dead_letter_topic} is {whose}: choose another topic")
        if self.admin_port and self.bind is not None and self.bind.endswith(f":{self.admin_port}"):
            raise OptionError(f"--admin-port {self.admin_port} is the port of --bind: choose another one")
        if self.insecure and self.tokens_file is not None:
            raise OptionError(
                "--insecure says that nobody is asked who they are, and --tokens-file that everybody is: leave one out "
                "(with tokens a worker may serve beyond this machine as it is)"
            )

    @property
    def name(self) -> str:
        """Consumer group, Faust app, board topic and prefix of every topic of ours: one name for one ACL."""
        return f"fanout_{self.id}_{self.topic}"

    @property
    def changelog(self) -> str:
        """Topic of the ledger rows."""
        return self.name + _CHANGELOG

    @property
    def parked(self) -> str:
        """Topic of the messages that were rejected where no dead-letter topic is given."""
        return self.name + _PARKED

    @property
    def brokers_list(self) -> list[str]:
        return self.brokers.split(",")


TABLE: tuple[click.Option, ...] = (
    option(
        "id",
        "Name of the service: workers with the same id and topic share the work.",
        required=True,
        type=Matching("id", r"[A-Za-z0-9._-]{1,100}", "1 to 100 of A-Z a-z 0-9 . _ -"),
    ),
    option(
        "topic",
        "Kafka topic whose messages are handed out.",
        required=True,
        type=Matching("topic", _TOPIC, "the name of a Kafka topic: 1 to 249 of A-Z a-z 0-9 . _ -"),
    ),
    option(
        "brokers",
        "Kafka brokers to start from. Default: those found by links or host names, else 127.0.0.1:9092.",
        default="",
        type=_HOSTS,
    ),
    option(
        "zookeepers",
        f"ZooKeeper servers; {WITHOUT}: do without. Default: those found by links or host names, else {WITHOUT}.",
        default="",
        type=_ZOOKEEPERS,
    ),
    option(
        "bind",
        "Address to serve HTTP on. Default 127.0.0.1:6066, or the next free port up to 6099 if that is taken.",
        default=None,
        type=_BIND,
    ),
    option(
        "advertise",
        "Address at which the other workers reach this one. Default: where it serves, or, where that is all addresses, "
        "the one from which it reaches its broker.",
        default=None,
        type=_ADVERTISE,
    ),
    option(
        "admin-port",
        "Port of its own, on the host of --bind, for all but what clients ask for and health. Default: one for all.",
        default=None,
        type=click.IntRange(0, 65535),
    ),
    option(
        "ack-wait",
        "How long a lease lasts if the pull does not say.",
        default="30s",
        show_default=True,
        type=time(0.05, 43200, "30s"),
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
    option(
        "isolation-level",
        "Whether messages of open and aborted transactions are handed out.",
        default="read_committed",
        show_default=True,
        type=click.Choice(["read_committed", "read_uncommitted"]),
    ),
    option(
        "buffer-bytes",
        "Bodies held in memory, buffered and leased; fetching stops above it.",
        default="64MiB",
        show_default=True,
        type=size(1 << 10, 1 << 40, "64MiB"),
    ),
    option(
        "max-ack-pending",
        "Unsettled messages held per partition; fetching of that partition stops above it.",
        default=10_000,
        show_default=True,
        type=click.IntRange(1, 10_000_000),
    ),
    option(
        "client-limit",
        "Messages in flight per client; a pull of a client that has so many waits.",
        default=1000,
        show_default=True,
        type=click.IntRange(1, 1_000_000),
    ),
    option(
        "client-ttl",
        "How long a client counts as alive after its last pull or lease.",
        default="10s",
        show_default=True,
        type=time(0.1, 3600, "10s"),
    ),
    option(
        "max-waiting",
        "Pulls that may wait at once; further ones are answered 429.",
        default=10_000,
        show_default=True,
        type=click.IntRange(1, 1_000_000),
    ),
    *CONNECTION_OPTIONS,
    option(
        "max-row-bytes",
        "Size of a ledger row at which intake of its partition stops; must fit the broker's max.message.bytes.",
        default="512KiB",
        show_default=True,
        type=size(1 << 10, 1 << 30, "512KiB"),
    ),
    option(
        "session-timeout",
        "How long the broker waits for a silent worker before its partitions go to others.",
        default="6s",
        show_default=True,
        type=time(3, 600, "6s"),
    ),
    option(
        "zookeeper-timeout",
        "How long ZooKeeper waits for a silent worker before another one may lead; at least two of its ticks.",
        default="6s",
        show_default=True,
        type=time(1, 60, "6s"),
    ),
    option(
        "leader-lease",
        "How long a leader goes on without word from ZooKeeper and Kafka, and how long a new one waits.",
        default="2s",
        show_default=True,
        type=time(0.2, 60, "2s"),
    ),
    option(
        "leader-timeout",
        "How long the leader may be silent before the others depose it; longer than --leader-lease.",
        default="3s",
        show_default=True,
        type=time(1, 120, "3s"),
    ),
    option(
        "routing",
        "How a pull gets the messages of other workers: they are passed on to it, or it is sent to them (HTTP 307).",
        default="forward",
        show_default=True,
        type=click.Choice(["forward", "redirect"]),
    ),
    *DELIVERY_OPTIONS,
    option(
        "commit-interval",
        "How often floors are committed to the consumer group.",
        default="3s",
        show_default=True,
        type=time(0.1, 600, "3s"),
    ),
    option(
        "drain",
        "How long requests are still served after SIGTERM.",
        default="3s",
        show_default=True,
        type=time(0, 60, "3s"),
    ),
    option(
        "stall-timeout",
        "How long the event loop may stand still before the worker ends itself, for a fresh one to take over.",
        default="10s",
        show_default=True,
        type=time(1, 600, "10s"),
    ),
    option(
        "max-deliver",
        "Deliveries after which a message is rejected instead of handed out again. Default: no limit.",
        default=None,
        type=click.IntRange(1, 65535),
    ),
    option(
        "backoff-first",
        "Rest of a message after its second failed delivery, doubled after each further one; none after the first.",
        default="100ms",
        show_default=True,
        type=time(0, 86400, "100ms"),
    ),
    option(
        "backoff-longest",
        "The longest such rest.",
        default="60s",
        show_default=True,
        type=time(0, 86400, "60s"),
    ),
    option(
        "backoff-jitter",
        "Share of such a rest that chance may take off, so that messages that failed together come apart.",
        default=0.5,
        show_default=True,
        type=click.FloatRange(0, 1),
    ),
    option(
        "long-delay",
        "A message delayed for longer keeps no body in memory: it is read again when it is due.",
        default="10s",
        show_default=True,
        type=time(0, 86400, "10s"),
    ),
    option(
        "other-client-wait",
        "How long a failed message waits for another client before the one that failed it may have it again, "
        "or one that let a lease end and has not acked since.",
        default="1s",
        show_default=True,
        type=time(0, 3600, "1s"),
    ),
    *SECURITY_OPTIONS,
    option(
        "dead-letter-topic",
        "Existing topic where rejected messages go. Default: they are parked.",
        default=None,
        type=Matching("topic", _TOPIC, "the name of a Kafka topic: 1 to 249 of A-Z a-z 0-9 . _ -"),
    ),
    click.Option(
        ["--insecure"],
        is_flag=True,
        envvar="FANOUT_INSECURE",
        show_envvar=True,
        default=False,
        help="Serve beyond this machine although nobody is asked who they are.",
    ),
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
