"""``GET /v1/events``: how all of it stands, once a second, as server-sent events."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any, Final

from aiohttp import web

from fanout_app.core.windows import Tally
from fanout_app.web.codecs import JSON
from fanout_app.web.handlers import refuse_body, refuse_query
from fanout_app.web.onlookers import NoPlaceError, Onlookers
from fanout_app.web.ports import Runtime
from fanout_app.web.problems import Kind, Problem
from fanout_app.web.views_canary import canary_of, milliseconds
from fanout_app.web.views_operations import leader_of, status_of, workers_of

#: Clients that are shown.
MOST_CLIENTS: Final = 200
_HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    # nginx would gather events before it passes them on.
    "X-Accel-Buffering": "no",
}


class EventViews:
    """Each stream lasts until its client goes or the worker stops. An event a second is sign of life enough."""

    def __init__(self, runtime: Runtime, *, most: int, broadcast: bool = False) -> None:
        """``most`` streams may be open at once."""
        self._runtime = runtime
        self._delivery = "broadcast" if broadcast else "balance"
        self._version = version("fanout-app")
        self._onlookers = Onlookers(self._event, lambda: runtime.stopping, most=most)
        self._most = most

    async def stream(self, request: web.Request) -> web.StreamResponse:
        refuse_query(request)
        await refuse_body(request)
        if self._runtime.stopping:
            raise Problem(Kind.STOPPING, "this worker is about to exit: look at another one")
        response = web.StreamResponse(headers=_HEADERS)
        if request.method == "HEAD":
            return response
        try:
            with self._onlookers.one() as onlooker:
                await response.prepare(request)
                while (event := await onlooker.next()) is not None:
                    # Where a client takes nothing, this waits before there is much to be kept for it.
                    await response.write(event)
        except NoPlaceError:
            raise Problem(
                Kind.TOO_MANY_STREAMS,
                f"{self._most} look on at this worker already: close one, or ask another worker",
            ) from None
        return response

    async def stop(self, _: web.Application) -> None:
        """The streams end, for the server not to wait for them."""
        await self._onlookers.stop()

    async def _event(self) -> bytes:
        return b"event: state\ndata: %b\n\n" % JSON.encode(await self._state())

    async def _state(self) -> dict[str, Any]:
        runtime = self._runtime
        survey, (canary, tag) = await asyncio.gather(runtime.overall.survey(MOST_CLIENTS), canary_of(runtime))
        counted = {name: part for name, part in survey.counted.items() if part is not None}
        acks = Tally()
        for part in counted.values():
            acks.add(Tally(latencies=part.pop("latencies")))
        return {
            "version": self._version,
            "delivery": self._delivery,
            "at_unix_ms": runtime.unix_ms(runtime.now()),
            "at_seconds": runtime.now(),
            "status": status_of(runtime, survey.status),
            "leader": leader_of(runtime),
            "workers": workers_of(runtime),
            "partitions": survey.partitions,
            "clients": survey.clients,
            "canary": {**canary, "etag": tag},
            "counted": counted,
            "ack_p50_ms": milliseconds(acks.latency(0.50)),
            "ack_p99_ms": milliseconds(acks.latency(0.99)),
        }
