"""The views that change how the queue runs: pause, resume, seek, and a client that leaves."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from msgspec import UnsetType

from fanout_app.core.errors import LeasesLiveError, RefusedError
from fanout_app.core.requests import SeekTo, Timestamp
from fanout_app.web.codecs import asked_in, form_of
from fanout_app.web.handlers import read_body, refuse_all, refuse_query
from fanout_app.web.ports import Runtime
from fanout_app.web.problems import Kind, Problem, refused
from fanout_app.web.schemas import SeekBody, SeekTime
from fanout_app.web.translation import name_of
from fanout_app.web.unbroken import Unbroken
from fanout_app.web.validation import Body

_SEEK: Final = Body(SeekBody)


class ControlViews:
    """What has been begun is brought to an end, whether its client waits for it or not."""

    def __init__(self, runtime: Runtime, unbroken: Unbroken) -> None:
        self._runtime = runtime
        self._unbroken = unbroken

    async def pause(self, request: web.Request) -> web.StreamResponse:
        form = form_of(request)
        await refuse_all(request)
        await self._unbroken.run("pause", self._runtime.pause())
        return form.response({"paused": self._runtime.paused})

    async def resume(self, request: web.Request) -> web.StreamResponse:
        form = form_of(request)
        await refuse_all(request)
        await self._unbroken.run("resume", self._runtime.resume())
        return form.response({"paused": self._runtime.paused})

    async def seek(self, request: web.Request) -> web.StreamResponse:
        form = form_of(request)
        refuse_query(request)
        body: SeekBody = _SEEK.decode(await read_body(request), asked_in(request))
        partition = None if isinstance(body.partition, UnsetType) else body.partition
        work = self._runtime.overall.seek(partition, _target(body), force=body.force)
        try:
            offsets = await self._unbroken.run("seek", work)
        except LeasesLiveError as error:
            raise Problem(Kind.LEASES_LIVE, f'{error} ("force":true; /v1/leases lists them)') from None
        except RefusedError as error:
            raise refused(error) from None
        rows = [{"partition": partition, "offset": offset} for partition, offset in sorted(offsets.items())]
        return form.response({"partitions": rows})

    async def leave(self, request: web.Request) -> web.StreamResponse:
        await refuse_all(request)
        client = name_of(request.match_info["client"], "client")
        if not await self._runtime.overall.leave(client):
            raise Problem(Kind.NOT_FOUND, "no client of this name is known here: it may have left already")
        return web.Response(status=204)


def _target(body: SeekBody) -> SeekTo:
    return Timestamp(body.to.timestamp_unix_ms) if isinstance(body.to, SeekTime) else body.to
