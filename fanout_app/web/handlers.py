"""What all handlers share: errors become problems, bodies are read within limits, the unserved is named as such.

Done by wrapping each handler once when it is registered: a middleware would run for every request.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp
from aiohttp import web

from fanout_app.core.errors import GroupsFullError, NotOwnedError, UnavailableError
from fanout_app.web.access import Admit
from fanout_app.web.broken import UNREADABLE, TooSlowError, is_open
from fanout_app.web.codecs import asked_in
from fanout_app.web.cross_site import refuse_cross_site
from fanout_app.web.hosts import refuse_other_names
from fanout_app.web.problems import (
    Fault,
    Kind,
    Problem,
    from_http_exception,
    invalid,
    method_not_allowed,
    not_found,
    plain,
)
from fanout_app.web.schemas import NoQuery
from fanout_app.web.validation import Body, query

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_NOTHING: Final = Body(NoQuery)
_log = logging.getLogger(__name__)


def guarded(handler: Handler, admit: Admit, names: frozenset[str] | None = None) -> Handler:
    """The handler, for those whom ``admit`` lets in, with every error answered as a problem.

    ``names`` are those by which it may be asked (`fanout_app.web.hosts`); None: all.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            refuse_other_names(request, names)
            refuse_cross_site(request)
            admit(request)
            return await handler(request)
        except Exception as error:
            response = refusal(error)
            if response is not None:
                return response
            if isinstance(error, ConnectionError) and not is_open(request.transport):
                # Nobody is there to be answered; aiohttp finds that out by itself when it tries to.
                return web.Response()
            if request.writer.output_size:
                # Part of an answer is out: nothing may follow it, and aiohttp closes the connection.
                raise
            _log.exception("cannot answer %s %s; please report this", request.method, request.path)
            return plain(500, "fanout failed to answer; its log says why")

    return handle


def refusal(error: Exception) -> web.Response | None:
    """The answer to what is raised for a request that cannot be met; None: this is a fault of ours."""
    match error:
        case Problem():
            return error.response()
        case web.HTTPException():
            return from_http_exception(error)
        case NotOwnedError():
            return Problem(Kind.MOVING, str(error)).response()
        case GroupsFullError():
            return Problem(Kind.TOO_MANY_GROUPS, str(error)).response()
        case UnavailableError():
            return Problem(Kind.KAFKA_UNREACHABLE, str(error)).response()
    return None


async def read_body(request: web.Request) -> bytes:
    """The whole body, empty where there is none. Raises `Problem`."""
    refuse_long_body(request)
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise too_large(request) from None
    except TooSlowError:
        raise web.HTTPRequestTimeout(
            text="the body has not come whole in time: nothing was done, send it again, faster or in smaller parts"
        ) from None
    except UNREADABLE:
        raise invalid([Fault("body", "cannot be read: its length, chunks or Content-Encoding are wrong")]) from None


def refuse_long_body(request: web.Request) -> None:
    """Where a body says itself that it is too large nothing of it is waited for."""
    if (request.content_length or 0) > request.client_max_size:
        raise too_large(request)


def too_large(request: web.Request) -> Problem:
    most = request.client_max_size
    return Problem(Kind.TOO_LARGE, f"this worker reads {most} bytes of a body at most: send fewer entries at a time")


def refuse_query(request: web.Request) -> None:
    """A misspelt or misplaced option is never ignored."""
    if request.query_string:
        query(NoQuery, request.query, list(request.query))


async def refuse_body(request: web.Request) -> None:
    if request.body_exists and await read_body(request):
        raise invalid([Fault("body", "options go into the query here; send no body")])


async def refuse_all(request: web.Request) -> None:
    """There is nothing to choose here. ``{}`` is no body too, for those who always send one."""
    refuse_query(request)
    if request.body_exists and (raw := await read_body(request)):
        _NOTHING.decode(raw, asked_in(request))


def expecting(admit: Admit) -> Callable[[web.Request], Awaitable[web.StreamResponse | None]]:
    """``Expect: 100-continue`` is met for those whom ``admit`` lets in, anything else refused."""

    async def expect(request: web.Request) -> web.StreamResponse | None:
        if request.headers.get("Expect", "").lower() != "100-continue":
            return plain(417, "of Expect only 100-continue is met")
        try:
            admit(request)
            refuse_long_body(request)
        except Problem as problem:
            return problem.response()
        if request.version >= aiohttp.HttpVersion11:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            # What counts as output from here on is the answer itself.
            request.writer.output_size = 0
        return None

    return expect


async def refuse_internal(request: web.Request) -> web.StreamResponse:
    """For whoever is no worker of this id and topic."""
    raise Problem(Kind.FORBIDDEN, "what is here is between workers alone, whatever token is sent: ask under /v1/")


async def unserved(request: web.Request) -> web.StreamResponse:
    """The last route: 405 where another method is served, else 404."""
    own = request.match_info.route.resource
    allowed: set[str] = set()
    for resource in request.app.router.resources():
        if resource is not own:
            _match, methods = await resource.resolve(request)
            allowed |= methods
    if allowed:
        raise method_not_allowed(request.method, allowed)
    raise not_found(request.path)
