"""The first contact with Kafka: waits a while for a broker, and finds out why none answers."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Mapping
from time import monotonic
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from fanout_app.core.errors import StartError, UnansweredError
from fanout_app.kafka.brokers import Brokers
from fanout_app.logs import describe
from fanout_app.tls import said

logger = logging.getLogger("fanout.kafka.reach")

#: Seconds in which a broker has to answer: long enough for one that is started together with the worker.
REACH_FOR = 15.0
#: Seconds for one request of the start.
_REQUEST = 10.0
_PAUSE = 0.5
_PROBE = 2.0


async def connect(brokers: Brokers) -> AIOKafkaAdminClient:
    """An admin client that has met one of these brokers and knows the cluster. The caller closes it.

    A broker that its cluster took for dead names no broker at all until it is let in again, and the clients that
    aiokafka makes of such an answer break on their first question.

    Raises:
        UnansweredError: none answered so within `REACH_FOR` seconds.
        StartError: one does not let us in.
    """
    deadline = monotonic() + REACH_FOR
    waits = False
    why: str
    cause: Exception | None
    while True:
        admin = AIOKafkaAdminClient(**brokers.client, request_timeout_ms=int(_REQUEST * 1000))
        try:
            async with asyncio.timeout(max(_PAUSE, deadline - monotonic())):
                await admin.start()
            if admin._client.cluster.brokers():
                return admin
            await admin.close()
            why, cause = f"{brokers} answers, but no broker has joined its cluster", None
        except (KafkaError, TimeoutError) as error:
            await admin.close()
            reasons = await why_not(brokers)
            if refusal := next((reason for reason in reasons if reason.stays), None):
                raise StartError(refusal.text) from error
            why, cause = f"no Kafka broker answers: {'; '.join(reason.text for reason in reasons)}", error
        except BaseException:
            await admin.close()
            raise
        if monotonic() + _PAUSE >= deadline:
            raise UnansweredError(f"{why}; start it, or correct --brokers") from cause
        if not waits:
            logger.info("%s; trying for %.0f s", why, REACH_FOR)
        waits = True
        await asyncio.sleep(_PAUSE)


def refused(admin: AIOKafkaAdminClient, error: KafkaError, brokers: str) -> str:
    """What went wrong after the first contact, in words for a person.

    A broker that answers where it was asked, and tells its clients to go on at an address that they cannot reach, is
    what a container with the wrong ``advertised.listeners`` does.
    """
    named = sorted(f"{broker.host}:{broker.port}" for broker in admin._client.cluster.brokers())
    if isinstance(error, KafkaConnectionError) and named and not set(named) & set(brokers.split(",")):
        return (
            f"Kafka at {brokers} names {', '.join(named)} as where it is, and that cannot be reached from here: "
            "correct its advertised.listeners"
        )
    if isinstance(error, TopicAuthorizationFailedError):
        (denied,) = error.args
        topics = sorted(denied) if isinstance(denied, (set, frozenset, list, tuple)) else [denied]
        allowed = " ".join(f"--topic {topic}" for topic in topics)
        return (
            f"this user may not read and write topic {' and '.join(topics)}; allow it with: kafka-acls.sh "
            f"--bootstrap-server {brokers} --add --allow-principal User:NAME --operation Read --operation Write "
            f"--operation Describe {allowed}"
        )
    return f"Kafka at {brokers} refused the start: {describe(error)}"


class Reason(NamedTuple):
    """Why there is no talking to a broker."""

    text: str
    #: Time does not mend it; the text says what does.
    stays: bool = False


async def why_not(brokers: Brokers) -> list[Reason]:
    """What happens at each of these addresses."""
    return await asyncio.gather(*(_why_not(address, brokers.security) for address in brokers.addresses))


async def listens(address: str, tls: ssl.SSLContext | None = None) -> bool:
    """Whether a connection can be made to ``HOST:PORT``, with TLS where that is given."""
    return (await _refusal(address, tls)) is None


async def _why_not(address: str, security: Mapping[str, Any]) -> Reason:
    if (refusal := await _refusal(address)) is not None:
        return Reason(refusal)
    host, _, port = address.rpartition(":")
    protocol, mechanism = security["security_protocol"], security.get("sasl_mechanism")
    try:
        async with asyncio.timeout(_PROBE):
            connection = await create_conn(host.strip("[]"), int(port), **security)
        connection.close()
    except ssl.SSLCertVerificationError as error:
        why = f"the certificate of the broker at {address} is not to be trusted ({said(error)})"
        return Reason(f"{why}: see that --kafka-ca has signed it, and that it names that host", True)
    except ssl.SSLError as error:
        why = f"the broker at {address} and this worker do not come to terms about TLS ({said(error)})"
        return Reason(f"{why}: correct --kafka-security-protocol {protocol}, or --kafka-cert", True)
    except (SaslAuthenticationFailed, AuthenticationFailedError):
        who = f"--kafka-user {security['sasl_plain_username']}"
        why = f"the broker at {address} does not know {who} with the password of --kafka-password-file by {mechanism}"
        return Reason(f"{why}: correct them, or have that user made", True)
    except UnsupportedSaslMechanismError:
        why = f"the broker at {address} does not take --kafka-sasl-mechanism {mechanism}"
        return Reason(f"{why}: give one that it takes", True)
    except (OSError, KafkaError, TimeoutError) as error:
        logger.debug("no terms with %s: %r", address, error)
    how = "without TLS" if protocol == "PLAINTEXT" else f"with --kafka-security-protocol {protocol}"
    return Reason(f"what listens at {address} does not answer as a Kafka broker {how} does")


async def _refusal(broker: str, tls: ssl.SSLContext | None = None) -> str | None:
    host, _, port = broker.rpartition(":")
    try:
        async with asyncio.timeout(_PROBE):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=tls)
    except socket.gaierror:
        return f"the name {host} of {broker} is not known"
    except TimeoutError:
        return f"{broker} does not answer"
    except OSError as error:
        # Several addresses of one name make a text of their own.
        refused = isinstance(error, ConnectionRefusedError) or "refused" in str(error).lower()
        return f"nothing listens at {broker}" if refused else f"{broker} cannot be reached ({error.strerror or error})"
    writer.close()
    return None
