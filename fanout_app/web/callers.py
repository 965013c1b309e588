"""Who makes a request, and where the answer goes: all that views of messages need of HTTP.

There are two kinds. Most requests come through aiohttp (`OfRequest`). The ones that clients make over and over, whose
heads are known byte for byte, come without a request or a response of aiohttp (`fanout_app.web.known`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from fanout_app.identity import Identity
from fanout_app.web.access import identity_of
from fanout_app.web.broken import is_open
from fanout_app.web.codecs import OF_MESSAGES, Form, asked_in, form_of
from fanout_app.web.handlers import read_body
from fanout_app.web.reply import Reply
from fanout_app.web.translation import CLIENT_HEADER


class Caller(Protocol):
    """One request, from its head to its answer."""

    @property
    def form(self) -> Form:
        """What the answer is to be in. Raises `Problem` where that is nothing we have."""

    @property
    def asked_in(self) -> Form:
        """What the body is in."""

    @property
    def client(self) -> str | None:
        """The name in the head."""

    @property
    def identity(self) -> Identity: ...
    @property
    def url(self) -> URL: ...
    @property
    def query(self) -> Mapping[str, str]: ...
    async def body(self) -> bytes:
        """All of it. Raises `Problem` and what aiohttp raises for what never comes whole."""

    def is_there(self) -> bool:
        """Whether the connection is open still, as far as this end knows."""

    def hang_up(self) -> None:
        """Close the connection without waiting for what was not sent yet."""

    async def write(self, reply: Reply, within: float | None = None) -> None:
        """The answer; only one is written.

        Raises:
            ConnectionError: the client is gone.
            TimeoutError: it has not taken its answer within so many seconds.
        """


class Errand(Protocol):
    """What a caller may be answered by without a task, see `fanout_app.web.errands`."""

    def go(self) -> None: ...
    def interrupt(self) -> None: ...
    def abandon(self) -> None: ...
    async def rest(self) -> None: ...


class PromptCaller(Caller, Protocol):
    """A request that is here as a whole, and can be answered without a task."""

    @property
    def raw(self) -> bytes:
        """Its body."""

    def put(self, reply: Reply) -> None:
        """The answer, all of it. Raises ConnectionError if the client is gone."""

    def is_behind(self) -> bool:
        """Whether the client has to take some of its answer before it is sent more."""

    async def drained(self, within: float) -> None:
        """Wait until it is not behind. Raises as `write` does."""

    def answered(self) -> None:
        """Nothing is left to be done for it."""

    def go_on(self) -> None:
        """What is left to be done is for a task."""


class OfRequest:
    """A request that aiohttp has read."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        #: What was written.
        self.response: web.Response | None = None

    @property
    def form(self) -> Form:
        return form_of(self._request, OF_MESSAGES)

    @property
    def asked_in(self) -> Form:
        return asked_in(self._request)

    @property
    def client(self) -> str | None:
        return self._request.headers.get(CLIENT_HEADER)

    @property
    def identity(self) -> Identity:
        return identity_of(self._request)

    @property
    def url(self) -> URL:
        return self._request.rel_url

    @property
    def query(self) -> Mapping[str, str]:
        return self._request.query

    async def body(self) -> bytes:
        return await read_body(self._request)

    def is_there(self) -> bool:
        return is_open(self._request.transport)

    def hang_up(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()

    async def write(self, reply: Reply, within: float | None = None) -> None:
        response = web.Response(status=reply.status, body=reply.body, headers=CIMultiDict(reply.headers))
        if reply.close:
            response.force_close()
        async with asyncio.timeout(within):
            await response.prepare(self._request)
            await response.write_eof()
        self.response = response
