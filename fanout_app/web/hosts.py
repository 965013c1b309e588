"""Refuses what a browser sends here for a page whose name was made to lead to this machine (DNS rebinding).

A page at evil.example may have its name looked up anew, as 127.0.0.1: to the browser it is of the same origin then as
what is served here, so it may ask for everything and read the answers. Only the name that it asks by tells it from
others.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from aiohttp import web
from aiohttp.hdrs import HOST

from fanout_app.web.problems import Kind, Problem

_LOOPBACK: Final = "localhost"


def refuse_other_names(request: web.Request, names: frozenset[str] | None) -> None:
    """Raises `Problem` if this is asked by a name that is not one of ours. An address is nobody's name."""
    asked = request.headers.get(HOST)
    if names is None or asked is None:
        return
    host = host_of(asked)
    if host == _LOOPBACK or host.endswith("." + _LOOPBACK) or host in names or _is_address(host):
        return
    raise Problem(
        Kind.FORBIDDEN,
        "without tokens a worker at the loopback is asked as localhost or by an IP address, and not by another name, "
        "which any page in a browser could have: name it with --advertise, give a --tokens-file, or say --insecure",
    )


def host_of(address: str) -> str:
    """Of ``HOST:PORT``, without the port, as it is compared."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        host = address
    return host.strip("[]").rstrip(".").lower()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
