"""The options that say who may ask, and how what goes over the network is kept from others.

Every secret is in a file that an option names: what a command line or an environment holds can be read by others.
"""

from __future__ import annotations

from dataclasses import dataclass

import click

from fanout_app.core.errors import OptionError
from fanout_app.option_types import option


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityOptions:
    """Paths of files, all but the tokens' read by whoever needs them; see `SECURITY_OPTIONS`."""

    tls_cert: str | None
    tls_key: str | None
    client_ca: str | None
    peer_ca: str | None
    lease_key_file: str | None
    tokens_file: str | None
    kafka_security_protocol: str
    kafka_ca: str | None
    kafka_cert: str | None
    kafka_key: str | None
    kafka_sasl_mechanism: str | None
    kafka_user: str | None
    kafka_password_file: str | None
    zookeeper_ca: str | None
    zookeeper_cert: str | None
    zookeeper_key: str | None
    zookeeper_user: str | None
    zookeeper_password_file: str | None

    @property
    def scheme(self) -> str:
        """How this worker is asked."""
        return "http" if self.tls_cert is None else "https"

    def check_security(self) -> None:
        """Check what a single option cannot be checked for.

        Raises:
            OptionError: one is of no use without another.
        """
        self._check_together("tls_cert", "tls_key", why="a certificate is shown with its key")
        self._check_together("kafka_cert", "kafka_key", why="a certificate is shown with its key")
        self._check_together("zookeeper_cert", "zookeeper_key", why="a certificate is shown with its key")
        self._check_together("zookeeper_user", "zookeeper_password_file", why="a user is known by a password")
        if self.client_ca is not None and self.tls_cert is None:
            raise OptionError(
                "--client-ca asks clients for certificates, which only TLS can do: give --tls-cert and --tls-key too"
            )
        if self.zookeeper_cert is not None and self.zookeeper_ca is None:
            raise OptionError("--zookeeper-cert is shown by TLS, which --zookeeper-ca turns on: give it too")
        if self.zookeeper_user is not None and ":" in self.zookeeper_user:
            raise OptionError("--zookeeper-user holds a colon, behind which ZooKeeper takes the password to begin")
        protocol = f"--kafka-security-protocol {self.kafka_security_protocol}"
        sasl = ("kafka_sasl_mechanism", "kafka_user", "kafka_password_file")
        for name in sasl:
            given = getattr(self, name) is not None
            if given != self.kafka_security_protocol.startswith("SASL"):
                what = "is of no use" if given else "is missing"
                every = ", ".join(map(_option, sasl))
                raise OptionError(
                    f"{_option(name)} {what} with {protocol}: give all of {every} with SASL_SSL or SASL_PLAINTEXT, and "
                    "none of them without"
                )
        for name in ("kafka_ca", "kafka_cert"):
            if getattr(self, name) is not None and not self.kafka_security_protocol.endswith("SSL"):
                raise OptionError(f"{_option(name)} is of no use with {protocol}: give SSL or SASL_SSL there")

    def _check_together(self, one: str, other: str, *, why: str) -> None:
        if (getattr(self, one) is None) != (getattr(self, other) is None):
            given, missing = (one, other) if getattr(self, one) is not None else (other, one)
            raise OptionError(f"{_option(given)} is given and {_option(missing)} is not: {why}, give both")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def file(name: str, help: str) -> click.Option:
    return option(name, help, default=None, type=click.Path())


SECURITY_OPTIONS: tuple[click.Option, ...] = (
    file(
        "tls-cert",
        "Certificate to serve HTTPS with, and nothing else, at all ports: PEM, those between it and its CA behind it. "
        "Read again when it changes, as the next three are. Default: HTTP.",
    ),
    file("tls-key", "Private key of --tls-cert: PEM, not encrypted."),
    file(
        "client-ca",
        "CAs (PEM) that have signed the certificate of whoever may connect, other workers and probes among them. "
        "Default: no certificate is asked for.",
    ),
    file(
        "peer-ca",
        "CAs (PEM) that have signed the certificates of the other workers, which are connected to by HTTPS where they "
        "serve it. Default: those of this system.",
    ),
    file(
        "lease-key-file",
        "Keys for lease tokens, one a line, the first signs, all count; read again when it changes. "
        "Default: a key made once and kept in ZooKeeper or Kafka.",
    ),
    file(
        "tokens-file",
        "Hashes of the tokens that clients and operators must send, one a line, with what each allows; read again when "
        "it changes. Default: nobody is asked for one.",
    ),
    option(
        "kafka-security-protocol",
        "How the brokers are connected to, by Kafka's own names.",
        default="PLAINTEXT",
        show_default=True,
        type=click.Choice(["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]),
    ),
    file("kafka-ca", "CAs (PEM) that have signed the certificates of brokers. Default: those of this system."),
    file("kafka-cert", "Certificate (PEM) to show to brokers that ask for one."),
    file("kafka-key", "Private key of --kafka-cert: PEM, not encrypted."),
    option(
        "kafka-sasl-mechanism",
        "How the password is proved to brokers; PLAIN sends it.",
        default=None,
        type=click.Choice(["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]),
    ),
    option("kafka-user", "Whom brokers know this worker as.", default=None),
    file("kafka-password-file", "Password of --kafka-user, in one line."),
    file(
        "zookeeper-ca",
        "CAs (PEM) that have signed the certificates of the ZooKeeper servers, which are then connected to by TLS, at "
        "their secureClientPort. Default: no TLS.",
    ),
    file("zookeeper-cert", "Certificate (PEM) to show to ZooKeeper servers that ask for one."),
    file("zookeeper-key", "Private key of --zookeeper-cert: PEM, not encrypted."),
    option(
        "zookeeper-user",
        "Whom ZooKeeper knows this worker as (digest). What it makes there is for this user alone then. "
        "Default: for everybody.",
        default=None,
    ),
    file("zookeeper-password-file", "Password of --zookeeper-user, in one line."),
)
