"""The views for those who run a worker: health, status, what is measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from fanout_app.core.roster import Heartbeat, Roster
from fanout_app.web.codecs import JSON, form_of
from fanout_app.web.handlers import refuse_query
from fanout_app.web.ports import Runtime
from fanout_app.web.problems import Kind, Problem, plain


class OperationViews:
    """All of them only read. Health is answered whatever a load balancer's Accept or query says."""

    def __init__(self, runtime: Runtime, render_metrics: Callable[[], tuple[bytes, str]]) -> None:
        self._runtime = runtime
        self._render_metrics = render_metrics

    async def healthz(self, request: web.Request) -> web.StreamResponse:
        reason = self._runtime.healthy()
        if reason is not None:
            return plain(503, f"{reason}; restart this worker")
        return JSON.response({"healthy": True})

    async def readyz(self, request: web.Request) -> web.StreamResponse:
        if self._runtime.stopping:
            raise Problem(Kind.STOPPING, "this worker finishes what it has begun and exits: ask another one")
        if not self._runtime.ready:
            raise Problem(Kind.MOVING, "this worker has not been able to answer a pull yet: wait")
        return JSON.response({"ready": True})

    async def status(self, request: web.Request) -> web.StreamResponse:
        return _answer(request, status_of(self._runtime, await self._runtime.overall.status()))

    async def partitions(self, request: web.Request) -> web.StreamResponse:
        return _answer(request, {"partitions": await self._runtime.overall.partitions()})

    async def leader(self, request: web.Request) -> web.StreamResponse:
        return _answer(request, leader_of(self._runtime))

    async def workers(self, request: web.Request) -> web.StreamResponse:
        return _answer(request, {"workers": workers_of(self._runtime)})

    async def clients(self, request: web.Request) -> web.StreamResponse:
        return _answer(request, {"clients": await self._runtime.overall.clients()})

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        body, content_type = self._render_metrics()
        return web.Response(body=body, headers={"Content-Type": content_type})


def status_of(runtime: Runtime, overall: dict[str, Any]) -> dict[str, Any]:
    """The body of /v1/status: how all of it stands, and who leads it."""
    leading = runtime.leading
    leader = leading.leader()
    return {**overall, "leader": leader.worker if leader is not None else None, "epoch": leading.epoch}


def leader_of(runtime: Runtime) -> dict[str, Any]:
    """The body of /v1/leader."""
    leading = runtime.leading
    leader = leading.leader()
    return {
        "worker": leader.worker if leader is not None else None,
        "address": leader.address if leader is not None else None,
        "epoch": leading.epoch,
        "me": leader is not None and leader.worker == runtime.worker,
        "acting": leading.may_act(),
    }


def workers_of(runtime: Runtime) -> list[dict[str, Any]]:
    """The rows of /v1/workers."""
    now = runtime.now()
    return [_heard(runtime.roster, now, heartbeat) for heartbeat in runtime.roster.present(now)]


def _heard(roster: Roster, now: float, heartbeat: Heartbeat) -> dict[str, Any]:
    return {
        "worker": heartbeat.worker,
        "address": heartbeat.address,
        "partitions": heartbeat.partitions,
        "generation": heartbeat.generation,
        "waiting_messages": heartbeat.waiting_messages,
        "waiting_pulls": heartbeat.waiting_pulls,
        "unheard_ms": round(1000 * roster.unheard(now, heartbeat.worker)),
        "me": heartbeat.worker == roster.me,
    }


def _answer(request: web.Request, value: object) -> web.Response:
    form = form_of(request)
    refuse_query(request)
    return form.response(value)
