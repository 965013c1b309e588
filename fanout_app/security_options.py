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

    @property
    def scheme(self) -> str:
        """How this worker is asked."""
        return "http" if self.tls_cert is None else "https"

    def check_security(self) -> None:
        """Check what a single option cannot be checked for.

        Raises:
            OptionError: one is of no use without another.
        """
        if (self.tls_cert is None) != (self.tls_key is None):
            given, missing = ("--tls-cert", "--tls-key") if self.tls_cert else ("--tls-key", "--tls-cert")
            raise OptionError(f"{given} is given and {missing} is not: a certificate is served with its key, give both")
        if self.client_ca is not None and self.tls_cert is None:
            raise OptionError(
                "--client-ca asks clients for certificates, which only TLS can do: give --tls-cert and --tls-key too"
            )


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
)
