"""Finds the Kafkas and ZooKeepers of a worker: in its options, in variables of container links, by their host names.

For each of the two kinds the first of these places that names any server is taken and the rest is not looked at. A
variable that is there and makes no sense is an error rather than none: a worker that went on without it would talk to
other servers than its neighbours do.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from threading import Thread
from time import monotonic

from fanout_app.core.errors import OptionError
from fanout_app.options import WITHOUT, Options

logger = logging.getLogger("fanout.discovery")

#: Where a worker looks for Kafka when nothing names one: a broker on the same machine.
LOCAL_BROKER = "127.0.0.1:9092"
#: Seconds for all look-ups of host names together. Names of containers are answered within milliseconds; where name
#: servers are out of reach a single look-up takes 5 s and more, and no start is to wait for that.
LOOK_UP_FOR = 1.0

_HIGHEST_PORT = 65535
_NAME = re.compile(r"[A-Za-z0-9._-]+")

#: The addresses a host name stands for; none if there is no such name.
LookUp = Callable[[str], set[str]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the two kinds of servers, and what it is called in the places where it is looked for."""

    what: str
    option: str
    #: Of a host, and in capitals what variables begin with.
    name: str
    port: int

    def variable(self, number: int | None, part: str) -> str:
        """``KAFKA_2_PORT_9092_TCP_ADDR``; without a number that of the only one."""
        link = self.name.upper() if number is None else f"{self.name.upper()}_{number}"
        return f"{link}_PORT_{self.port}_TCP_{part}"

    def host(self, number: int) -> str:
        return f"{self.name}_{number}"


KAFKA = Kind("Kafka broker", "--brokers", "kafka", 9092)
ZOOKEEPER = Kind("ZooKeeper server", "--zookeepers", "zk", 2181)


def look_up(name: str) -> set[str]:
    """Ask the system, for as long as it takes."""
    try:
        return {str(address[0]) for *_, address in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)}
    except OSError:
        return set()


def complete(options: Options, variables: Mapping[str, str], look_up: LookUp = look_up) -> Options:
    """The options with the servers they leave open, and a line in the log for each kind.

    Raises:
        OptionError: a variable of a link is malformed; the message names it.
    """
    given = {KAFKA: options.brokers, ZOOKEEPER: options.zookeepers}
    linked = {kind: ",".join(of_links(kind, variables)) for kind, addresses in given.items() if not addresses}
    named = by_host_names([kind for kind, addresses in linked.items() if not addresses], look_up)
    found = {}
    for kind in given:
        places = ((kind.option, given[kind]), ("variables of container links", linked.get(kind)),
                  ("host names", ",".join(named.get(kind, ()))))  # fmt: skip
        place, found[kind] = next(((place, found) for place, found in places if found), ("", ""))
        _tell(kind, place, found[kind])
    zookeepers = "" if found[ZOOKEEPER] == WITHOUT else found[ZOOKEEPER]
    return replace(options, brokers=found[KAFKA] or LOCAL_BROKER, zookeepers=zookeepers)


def _tell(kind: Kind, place: str, addresses: str) -> None:
    if addresses and addresses != WITHOUT:
        number = len(addresses.split(","))
        logger.info("%d %s%s, from %s: %s", number, kind.what, "s" if number > 1 else "", place, addresses)
    elif kind is KAFKA:
        logger.info("no %s is named by options, links or host names: trying %s", kind.what, LOCAL_BROKER)
    else:
        why = f"{kind.option} {WITHOUT}" if addresses else "none is named by options, links or host names"
        logger.info("no %s (%s): doing without", kind.what, why)


# Variables of links ---------------------------------------------------------------------------------------------------


def of_links(kind: Kind, variables: Mapping[str, str]) -> list[str]:
    """The servers of one kind that variables name, each once: the one without a number, then 1, 2, ... until one is
    missing.

    Docker sets them for containers that are linked, Kubernetes for every Service: of one called ``kafka`` that has this
    port, they name the address that stands for all brokers.

    Raises:
        OptionError: an address or a port is malformed.
    """
    found: dict[str, None] = {}
    if (only := _of_link(kind, None, variables)) is not None:
        found[only] = None
    for number in count(1):
        address = _of_link(kind, number, variables)
        if address is None:
            break
        found[address] = None
    _warn_of_gap(kind, number, variables)
    return list(found)


def _of_link(kind: Kind, number: int | None, variables: Mapping[str, str]) -> str | None:
    host, port = kind.variable(number, "ADDR"), kind.variable(number, "PORT")
    if not variables.get(host):
        return None
    return f"{_host(host, variables[host], kind)}:{_port(port, variables.get(port) or str(kind.port), kind)}"


def _host(variable: str, value: str, kind: Kind) -> str:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        if not _NAME.fullmatch(value):
            raise OptionError(
                f"{variable} is {value!r} and must be an address or the name of a host: correct it, or give "
                f"{kind.option}"
            ) from None
        return value
    return f"[{address}]" if address.version == 6 else value


def _port(variable: str, value: str, kind: Kind) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 1 <= int(value) <= _HIGHEST_PORT:
        raise OptionError(
            f"{variable} is {value!r} and must be a port, 1 to {_HIGHEST_PORT}: correct it, or give {kind.option}"
        )
    return int(value)


def _warn_of_gap(kind: Kind, missing: int, variables: Mapping[str, str]) -> None:
    """A container that was taken away leaves a gap, and those behind it unseen."""
    pattern = re.compile(kind.variable(None, "ADDR").replace("_", r"_(\d+)_", 1))
    beyond = [name for name in variables if (match := pattern.fullmatch(name)) and int(match[1]) > missing]
    if beyond:
        logger.warning(
            "%s is not set, so %s and what follows is not looked at: number them without a gap, or give %s",
            kind.variable(missing, "ADDR"), min(beyond), kind.option,
        )  # fmt: skip


# Host names -----------------------------------------------------------------------------------------------------------


def by_host_names(kinds: Iterable[Kind], look_up: LookUp, within: float = LOOK_UP_FOR) -> dict[Kind, list[str]]:
    """The servers of these kinds that host names stand for, looked up for at most ``within`` seconds in all.

    A look-up cannot be cut short, so each kind has a thread of its own that is left alone with its last one when the
    time is over, and what it has found until then counts.
    """
    found: dict[Kind, list[str]] = {kind: [] for kind in kinds}
    deadline = monotonic() + within
    threads = [
        Thread(target=_walk, args=(kind, look_up, names, deadline), name=f"fanout-look-up-{kind.name}", daemon=True)
        for kind, names in found.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))
    if late := [kind for kind, thread in zip(found, threads, strict=True) if thread.is_alive()]:
        logger.warning(
            "host names (%s) could not be looked up within %g s: give %s",
            ", ".join(f"{kind.name}, {kind.host(1)}, ..." for kind in late), within,
            " and ".join(kind.option for kind in late),
        )  # fmt: skip
    return {kind: [f"{name}:{kind.port}" for name in names] for kind, names in found.items()}


def _walk(kind: Kind, look_up: LookUp, found: list[str], deadline: float) -> None:
    """Put the host names that there are into ``found``: the one without a number, then 1, 2, ... until one is missing.

    A number that stands for no other host than those before it is missing too: some name servers know every name. The
    one without a number goes again if those with one cover it.
    """
    if only := look_up(kind.name):
        found.append(kind.name)
    numbered: set[str] = set()
    for number in count(1):
        addresses = look_up(kind.host(number))
        if addresses <= numbered or monotonic() > deadline:
            break
        numbered |= addresses
        found.append(kind.host(number))
    if only and only <= numbered:
        found.remove(kind.name)
