"""Connections and requests that have come to an end before their time, and how that shows."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

#: What reading a body raises when the client has sent something else than it announced.
UNREADABLE: Final = (HttpProcessingError, web.RequestPayloadError, aiohttp.ClientPayloadError)
#: The state of TCP_INFO (Linux) in which neither end has closed; elsewhere nobody can tell without reading.
_ESTABLISHED: Final = b"\x01"
_TCP_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None)


class TooSlowError(web.RequestPayloadError):
    """The rest of a body is waited for no longer."""


def has_hung_up(transport: asyncio.BaseTransport) -> bool:
    """Whether the client has closed a connection that is not read from at the moment."""
    if _TCP_INFO is None or transport.is_closing():
        return transport.is_closing()
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return False
    return bool(connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 1) != _ESTABLISHED)


def is_open(transport: asyncio.Transport | None) -> bool:
    """Whether the client is there still, as far as this end knows."""
    if transport is None or transport.is_closing():
        return False
    return transport.is_reading() or not has_hung_up(transport)
