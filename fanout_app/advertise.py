"""Under which address others reach this worker."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

from fanout_app.core.errors import StartError


def advertised(host: str, port: int, brokers: Iterable[str], advertise: str | None, scheme: str = "http") -> str:
    """The address for the other workers, as ``http://HOST:PORT`` or with another ``scheme``.

    Whoever is served at one address of this machine is reached there. Who is served at all of them is reached at the
    one from which he reaches Kafka himself: the other workers have a way to the same brokers. May look names up.

    Args:
        host, port: where this worker serves, as its socket has it.
        brokers: ``HOST:PORT`` each.
        advertise: what ``--advertise`` says.

    Raises:
        StartError: it cannot be found out.
    """
    if advertise is not None:
        return f"{scheme}://{advertise}"
    served = ipaddress.ip_address(host.partition("%")[0])
    if not served.is_unspecified:
        return _url(scheme, host, port)
    # What serves at all addresses of IPv6 serves those of IPv4 too.
    family = socket.AF_INET if served.version == 4 else socket.AF_UNSPEC
    for broker in brokers:
        own = _own_address(broker, family)
        if own is not None:
            return _url(scheme, own, port)
    raise StartError(
        f"cannot tell under which address the other workers reach this one, which serves at {host}: no way to "
        f"{', '.join(brokers)} was found; give it with --advertise HOST:PORT"
    )


def _own_address(broker: str, family: int) -> str | None:
    """The address of this machine that packets to this broker leave from. None is sent: it is UDP."""
    name, _, port = broker.rpartition(":")
    try:
        for found, kind, protocol, _, address in socket.getaddrinfo(
            name.strip("[]"), int(port), family=family, type=socket.SOCK_DGRAM
        ):
            with socket.socket(found, kind, protocol) as probe:
                probe.connect(address)
                return str(probe.getsockname()[0])
    except OSError:
        pass
    return None


def _url(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
