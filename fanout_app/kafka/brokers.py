"""Where Kafka is, and how its clients are let in: every client of aiokafka is made with `Brokers.client`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from faust import SASLCredentials, SSLCredentials

from fanout_app.options import Options
from fanout_app.secret_file import secret_in
from fanout_app.tls import trusting, with_certificate

logger = logging.getLogger("fanout.kafka.brokers")

_PLAINTEXT: Final[Mapping[str, Any]] = MappingProxyType({"security_protocol": "PLAINTEXT"})


@dataclass(frozen=True, slots=True)
class Brokers:
    """Neither its text nor its representation shows a secret."""

    addresses: tuple[str, ...]
    #: What aiokafka's clients are told beside the addresses.
    security: Mapping[str, Any] = field(default_factory=lambda: _PLAINTEXT, repr=False)

    @classmethod
    def of(cls, options: Options) -> Brokers:
        """Those that the options name, and as they say.

        Raises:
            OptionError: a file that is named cannot be used.
        """
        protocol = options.kafka_security_protocol
        security: dict[str, Any] = {"security_protocol": protocol}
        if protocol.endswith("SSL"):
            context = trusting(options.kafka_ca, "--kafka-ca")
            if options.kafka_cert is not None:
                with_certificate(context, options.kafka_cert, options.kafka_key, "--kafka-cert")
            security["ssl_context"] = context
        if protocol.startswith("SASL"):
            assert options.kafka_password_file is not None, "the options are checked"
            if protocol == "SASL_PLAINTEXT" and options.kafka_sasl_mechanism == "PLAIN":
                logger.warning("--kafka-sasl-mechanism PLAIN sends the password as it is: use SCRAM, or SASL_SSL")
            security |= {
                "sasl_mechanism": options.kafka_sasl_mechanism,
                "sasl_plain_username": options.kafka_user,
                "sasl_plain_password": secret_in(options.kafka_password_file, "--kafka-password-file"),
            }
        return cls(tuple(options.brokers_list), MappingProxyType(security))

    @property
    def client(self) -> dict[str, Any]:
        """For a client of aiokafka."""
        return {"bootstrap_servers": list(self.addresses), **self.security}

    @property
    def credentials(self) -> SASLCredentials | SSLCredentials | None:
        """For Faust, which makes such clients itself."""
        security = self.security
        if "sasl_mechanism" in security:
            return SASLCredentials(
                mechanism=security["sasl_mechanism"],
                username=security["sasl_plain_username"],
                password=security["sasl_plain_password"],
                ssl_context=security.get("ssl_context"),
            )
        return SSLCredentials(security["ssl_context"]) if "ssl_context" in security else None

    def __str__(self) -> str:
        return ",".join(self.addresses)
