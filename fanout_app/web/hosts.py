"""Refuses what a browser sends here for a page whose name was made to lead to this machine (DNS rebinding).

A page at evil.example may have its name looked up anew, as 127.0.0.1: to the browser it is of the same origin then as
what is served here, so it may ask for everything and read the answers. Only the name that it asks by tells it from
others. What is no browser may ask by whatever name leads here.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from aiohttp import web
from aiohttp.hdrs import ACCEPT_LANGUAGE, HOST, ORIGIN, REFERER, USER_AGENT

from fanout_app.web.problems import Kind, Problem

_LOOPBACK: Final = "localhost"
#: A browser sends at least one of these, or calls itself so. By the Fetch standard it sends Accept-Language with all
#: that it asks for, and Origin with all but GET and HEAD.
_OF_BROWSERS: Final = (ORIGIN, REFERER, ACCEPT_LANGUAGE, "Sec-Fetch-Mode")
_CALLED: Final = "Mozilla/"


def refuse_other_names(request: web.Request, names: frozenset[str] | None) -> None:
    """Raises `Problem` if a browser asks this by a name that is not one of ours. An address is nobody's name."""
    asked = request.headers.get(HOST)
    if names is None or asked is None or not _is_browser(request):
        return
    host = host_of(asked)
    if host == _LOOPBACK or host.endswith("." + _LOOPBACK) or host in names or _is_address(host):
        return
    raise Problem(
        Kind.FORBIDDEN,
        "without tokens a worker at the loopback is asked by a browser as localhost or by an IP address, and not by "
        "another name, which any page could have: name it with --advertise, give a --tokens-file, or say --insecure",
    )


def host_of(address: str) -> str:
    """Of ``HOST:PORT``, without the port, as it is compared."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        host = address
    return host.strip("[]").rstrip(".").lower()


def _is_browser(request: web.Request) -> bool:
    headers = request.headers
    return any(header in headers for header in _OF_BROWSERS) or headers.get(USER_AGENT, "").startswith(_CALLED)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
