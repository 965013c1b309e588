"""Requests that clients make over and over, with the same head byte for byte: they are not parsed again.

The pulls of a client differ in their bodies alone. Once aiohttp has read a head and its request was let in, the same
bytes in front of a body of the same length can only be the same request. So a head that has come is looked up; where it
is known the view is called with the body, and the answer written, without a request or a response of aiohttp, which
cost more than all that fanout does for a message. Everything else stays as it is: these requests wait in aiohttp's own
queue of the connection, and end, time out and are cancelled like all others; but for those that are answered without
a task (`fanout_app.web.errands`) as long as nothing else happens on their connection.

Rule for this file: what is learnt says nothing of who may ask. Tokens are looked at each time.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, Protocol, Self

from aiohttp import ClientConnectionResetError, HttpVersion11, hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE
from msgspec import Struct
from yarl import URL

from fanout_app.identity import Identity
from fanout_app.web.access import Identify
from fanout_app.web.broken import is_open
from fanout_app.web.callers import Caller, Errand, OfRequest, PromptCaller
from fanout_app.web.codecs import Form
from fanout_app.web.handlers import refusal
from fanout_app.web.problems import plain
from fanout_app.web.reply import Headers, Reply

#: Answers one request: writes to the caller, or raises what `fanout_app.web.handlers.refusal` knows.
View = Callable[[Caller], Awaitable[None]]
#: What answers one without a task. None: it is for the view, as is what raises `Problem`.
Begin = Callable[[PromptCaller], Errand | None]

_log = logging.getLogger(__name__)

#: Heads that are kept, and how many bytes one of them has at most: 4 MiB in all.
_KEPT: Final = 2048
_LONGEST: Final = 2048
_END: Final = b"\r\n\r\n"
#: What makes a request more than its head and a body of a known length, or its connection end with it.
_UNUSUAL: Final = (hdrs.TRANSFER_ENCODING, hdrs.CONTENT_ENCODING, hdrs.EXPECT, hdrs.CONNECTION, hdrs.UPGRADE)
_NO_QUERY: Final[Mapping[str, str]] = MappingProxyType({})
_END_OF_HEAD: Final = f"\r\nServer: {SERVER_SOFTWARE}\r\n\r\n"
_LAST: Final = f"\r\nServer: {SERVER_SOFTWARE}\r\nConnection: close\r\n\r\n"


class Head(Struct, frozen=True):
    """What a head says, with the view that it asks for."""

    view: View
    #: The view without a task, as far as there is one.
    begin: Begin | None
    identify: Identify
    #: Bytes of the body.
    length: int
    form: Form
    asked_in: Form
    client: str | None
    authorization: tuple[str, ...]
    url: URL


class Heads:
    """The heads that are known at one server."""

    def __init__(self) -> None:
        self._views: dict[str, tuple[View, Begin | None, Identify]] = {}
        self._known: OrderedDict[bytes, Head] = OrderedDict()

    def serve(self, path: str, view: View, identify: Identify, begin: Begin | None = None) -> None:
        """Learn POST requests for this path from now on."""
        self._views[path] = view, begin, identify

    def find(self, data: bytes) -> tuple[Head, bytes] | None:
        """The head and the body of a request, if these bytes are one that is known."""
        start = data.find(_END) + len(_END)
        head = self._known.get(data[:start])
        if head is None or len(data) - start != head.length:
            return None
        return head, data[start:]

    def learn(self, raw: bytes, request: web.BaseRequest) -> None:
        """This head is that of a request which may be made.

        Raises:
            Problem: it asks for an answer in a form that there is none in.
        """
        if not isinstance(request, web.Request) or request.method != hdrs.METH_POST:
            return
        served = self._views.get(request.raw_path)
        if served is None or len(raw) > _LONGEST or not _is_plain(request):
            return
        caller = OfRequest(request)
        while len(self._known) >= _KEPT:
            # Whose heads are never the same, by an id of each request say, pushes out his own of before.
            self._known.popitem(last=False)
        self._known[raw] = Head(
            *served,
            length=request.content_length or 0,
            form=caller.form,
            asked_in=caller.asked_in,
            client=caller.client,
            authorization=tuple(request.headers.getall(hdrs.AUTHORIZATION, ())),
            url=request.rel_url,
        )


#: The head of a request that was read whole, as it came.
RAW_HEAD: Final = web.RequestKey("raw head", bytes)
#: Where an application keeps those of its server.
HEADS: Final = web.AppKey("heads", Heads)


def _is_plain(request: web.Request) -> bool:
    headers = request.headers
    return (
        request.version == HttpVersion11
        and (request.content_length or 0) <= request.client_max_size
        and len(headers.getall(hdrs.CONTENT_LENGTH, ())) <= 1
        and not any(name in headers for name in _UNUSUAL)
    )


def head_in(data: bytes, length: int) -> bytes | None:
    """The head of what is one request, no more and no less, with a body of that length."""
    start = data.find(_END) + len(_END)
    return data[:start] if start >= len(_END) and len(data) - start == length else None


class Connection(Protocol):
    """That of aiohttp, as far as an answer needs it."""

    transport: asyncio.Transport | None

    @property
    def writing_paused(self) -> bool: ...
    async def _drain_helper(self) -> None: ...
    def answered(self) -> None:
        """The request that was begun without a task has its answer."""

    def queue(self, request: KnownRequest) -> None:
        """A request is to be answered in a task, after those that wait for that."""


class KnownRequest:
    """A request whose head is known, for its view; and for aiohttp, which takes it for one of its own."""

    __slots__ = ("_connection", "_errand", "_head", "_task", "identity", "in_task", "keep_alive", "raw", "written")

    def __init__(self, connection: Connection, head: Head, body: bytes) -> None:
        self._connection = connection
        self._head = head
        self.raw = body
        #: What has begun without a task.
        self._errand: Errand | None = None
        #: It waits for its task, or has it.
        self.in_task = False
        self._task: object = None
        self.identity: Identity
        self.keep_alive = True
        self.written = False

    async def answer(self) -> Self:
        """Have the view answer it; what the view raises is answered too. Returns itself, in place of a response."""
        try:
            if self._errand is not None:
                errand, self._errand = self._errand, None
                await errand.rest()
            else:
                self.identity = self._head.identify(self._head.authorization)
                await self._head.view(self)
        except Exception as error:
            if self.is_there():
                await self._refuse(error)
            else:
                self.hang_up()
        return self

    # Without a task --------------------------------------------------------------------------------------------------

    def begin(self) -> bool:
        """Begin to answer it here and now, as far as that goes without a task. False: nothing was done."""
        begin = self._head.begin
        if begin is None:
            return False
        try:
            self.identity = self._head.identify(self._head.authorization)
            self._errand = begin(self)
        except Exception:
            return False  # raised, and told, once more where it is answered
        if self._errand is None:
            return False
        self._errand.go()
        return True

    def put(self, reply: Reply) -> None:
        transport = self._connection.transport
        if transport is None or transport.is_closing():
            raise ClientConnectionResetError("the client is gone")
        self.written = True
        self.keep_alive = not reply.close
        transport.write(_written(reply))

    def is_behind(self) -> bool:
        return self._connection.writing_paused

    async def drained(self, within: float | None) -> None:
        async with asyncio.timeout(within):
            await self._connection._drain_helper()

    def answered(self) -> None:
        self._errand = None
        self._connection.answered()

    def go_on(self) -> None:
        self.in_task = True
        self._connection.queue(self)

    def interrupt(self) -> None:
        """It has begun, and is to go on in a task."""
        if self._errand is not None:
            self._errand.interrupt()
        self.go_on()

    def abandon(self) -> None:
        """Its client has gone. What a task has begun with is cancelled with that."""
        errand, self._errand = self._errand, None
        if errand is not None:
            errand.abandon()

    # In a task -------------------------------------------------------------------------------------------------------

    async def _refuse(self, error: Exception) -> None:
        response = refusal(error)
        if self.written:
            # Part of an answer is out: nothing may follow it.
            _log.exception("an answer to a POST of %s broke off; please report this", self._head.url.path)
            self.hang_up()
            return
        if response is None:
            _log.exception("cannot answer POST %s; please report this", self._head.url.path)
            response = plain(500, "fanout failed to answer; its log says why")
        body = response.body
        assert isinstance(body, bytes), "a problem is written at once"
        await self.write(Reply(response.status, tuple(response.headers.items()), body, response.keep_alive is False))

    def _cancel(self, error: BaseException) -> None:
        """Its body is here: there is nothing to wait for in vain."""

    # For the view ----------------------------------------------------------------------------------------------------

    @property
    def form(self) -> Form:
        return self._head.form

    @property
    def asked_in(self) -> Form:
        return self._head.asked_in

    @property
    def client(self) -> str | None:
        return self._head.client

    @property
    def url(self) -> URL:
        return self._head.url

    @property
    def query(self) -> Mapping[str, str]:
        return _NO_QUERY

    async def body(self) -> bytes:
        return self.raw

    def is_there(self) -> bool:
        return is_open(self._connection.transport)

    def hang_up(self) -> None:
        if self._connection.transport is not None:
            self._connection.transport.abort()

    async def write(self, reply: Reply, within: float | None = None) -> None:
        self.put(reply)
        if self.is_behind():
            await self.drained(within)


def _written(reply: Reply) -> bytes:
    """The bytes of an answer, as aiohttp would write them."""
    body = reply.body or b""
    length = "" if reply.status == HTTPStatus.NO_CONTENT else f"Content-Length: {len(body)}\r\n"
    end = _LAST if reply.close else _END_OF_HEAD
    return f"{_beginning(reply.status, reply.headers)}{length}Date: {rfc822_formatted_time()}{end}".encode() + body


@lru_cache(maxsize=256)
def _beginning(status: int, headers: Headers) -> str:
    """What answers of a kind have in common."""
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers])
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{fields}"
