"""What ``fanout --help`` shows: how to go on from here, then the options by what they are for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import click

#: Lines behind ``\b`` stay as they are.
TEXT: Final = """Hands the messages of a Kafka topic to HTTP clients, one lease a message, at least once.

\b
Start a worker, take a message, and ack it by its lease:
  fanout --id service_x --topic user_need --brokers 127.0.0.1:9092
  curl -i -X POST localhost:6066/v1/next
  curl -X DELETE localhost:6066/v1/leases/LEASE

\b
  The same command once more, here or elsewhere    another worker, which takes its share
  fanout --memory                                  the same without Kafka, for a first look
  fanout doctor --id ... --topic ...               what is wrong with servers, rights and settings
  fanout token new NAME                            a token for those who ask
  fanout completion SHELL                          options that a shell completes

All that can be asked over HTTP is at /openapi.json and in docs/api.md. Each option may be given as the variable
that is named with it instead, which is how faust -A fanout_app worker is told. Times and sizes have a unit: 30s, 64MiB.
"""

_WORKER: Final = "This worker"
SECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "What is handed out": ("id", "topic", "start_from", "isolation_level", "delivery", "order"),
    "Where it is": ("brokers", "zookeepers", "bind", "advertise", "admin_port", "memory", "memory_partitions"),
    "Leases and clients": ("ack_wait", "client_limit", "client_ttl", "max_waiting", "routing"),
    "What fails": (
        "max_deliver", "dead_letter_topic", "backoff_first", "backoff_longest", "backoff_jitter", "long_delay",
        "other_client_wait",
    ),
    "Who may ask": ("tokens_file", "lease_key_file", "insecure"),
    "What nobody else may read": ("tls_cert", "tls_key", "client_ca", "peer_ca"),
    "To be let in elsewhere": (
        "kafka_security_protocol", "kafka_ca", "kafka_cert", "kafka_key", "kafka_sasl_mechanism", "kafka_user",
        "kafka_password_file", "zookeeper_ca", "zookeeper_cert", "zookeeper_key", "zookeeper_user",
        "zookeeper_password_file",
    ),
    "Limits of memory and of connections": (
        "buffer_bytes", "max_ack_pending", "max_row_bytes", "max_connections", "max_header_size", "max_body_size",
        "max_streams", "request_timeout", "answer_timeout", "idle_timeout",
    ),
    "The cluster": (
        "session_timeout", "zookeeper_timeout", "leader_lease", "leader_timeout", "commit_interval", "stall_timeout",
        "drain",
    ),
    _WORKER: ("verbose", "version", "help"),
}  # fmt: skip


class Command(click.Command):
    """Shows its options by section. One that is in none is shown with those of the worker."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        section_of = {name: section for section, names in SECTIONS.items() for name in names}
        rows: dict[str, list[tuple[str, str]]] = {section: [] for section in SECTIONS}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                rows[section_of.get(str(param.name), _WORKER)].append(record)
        for section, records in rows.items():
            with formatter.section(section):
                formatter.write_dl(records)
