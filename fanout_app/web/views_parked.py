"""Parked messages: looked at, and sent back to the topic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiohttp import web
from msgspec import UNSET, Struct, UnsetType

from fanout_app.core.parked import ParkedMessage
from fanout_app.web.answers import Text, as_text
from fanout_app.web.codecs import asked_in, form_of
from fanout_app.web.handlers import read_body, refuse_query
from fanout_app.web.ports import Runtime
from fanout_app.web.problems import Fault, invalid
from fanout_app.web.schemas import ParkedQuery, RedriveBody
from fanout_app.web.unbroken import Unbroken
from fanout_app.web.validation import Body, query

_REDRIVE: Final = Body(RedriveBody)
#: Messages asked for at a time, so that a page of large ones is never in memory as a whole before it is cut.
_STEP: Final = 16


class WireParked(Struct):
    """A parked message as it goes out. Bytes become base64 where the form has no bytes (JSON)."""

    parked: int
    partition: int
    offset: int
    timestamp_unix_ms: int
    parked_unix_ms: int
    delivery_count: int
    reason: str
    client: str
    key: Text
    value: Text
    headers: Sequence[tuple[str, Text]]
    group: str | UnsetType = UNSET
    encoding: str | UnsetType = UNSET


class ParkedViews:
    """/v1/parked and what hangs on it."""

    def __init__(self, runtime: Runtime, unbroken: Unbroken) -> None:
        self._runtime = runtime
        self._unbroken = unbroken

    async def index(self, request: web.Request) -> web.StreamResponse:
        form = form_of(request)
        options = query(ParkedQuery, request.query, list(request.query))
        page = await self._page(options)
        utf8 = options.encoding == "utf8" and not form.binary
        return form.response({"messages": [_wire(message, utf8=utf8) for message in page]})

    async def redrive(self, request: web.Request) -> web.StreamResponse:
        form = form_of(request)
        refuse_query(request)
        body: RedriveBody = _REDRIVE.decode(await read_body(request), asked_in(request))
        names = None if isinstance(body.parked, UnsetType) else body.parked
        if body.all == (names is not None):
            raise invalid([Fault("parked", 'send either the names of messages or "all":true, to redrive every one')])
        redriven = await self._unbroken.run("redrive", self._runtime.parked.redrive(names))
        return form.response({field: value for field, value in redriven._asdict().items() if value is not None})

    async def _page(self, options: ParkedQuery) -> list[ParkedMessage]:
        """Messages from ``after`` on, until there are enough or they are large enough; at least one, if there is."""
        page: list[ParkedMessage] = []
        after, room = options.after, options.max_bytes
        while len(page) < options.limit:
            step = min(_STEP, options.limit - len(page))
            found = await self._runtime.parked.list(step, after)
            for message in found:
                room -= len(message.key or b"") + len(message.value or b"")
                if room < 0 and page:
                    return page
                page.append(message)
            if len(found) < step:
                break
            after = found[-1].parked
        return page


def _wire(message: ParkedMessage, *, utf8: bool) -> WireParked:
    wire = WireParked(
        parked=message.parked,
        partition=message.partition,
        offset=message.offset,
        timestamp_unix_ms=message.timestamp,
        parked_unix_ms=message.parked_at,
        delivery_count=message.delivery_count,
        reason=message.reason,
        client=message.client,
        key=message.key,
        value=message.value,
        headers=message.headers,
        group=message.group or UNSET,
    )
    if utf8:
        as_text(wire, message)
    return wire
