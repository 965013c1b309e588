"""The table of addresses: which view answers what, and whom."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from importlib.metadata import version
from typing import Final, NamedTuple

from aiohttp import web

from fanout_app.web.access import Access, Gate
from fanout_app.web.callers import OfRequest
from fanout_app.web.handlers import Handler, expecting, guarded, refuse_internal, unserved
from fanout_app.web.known import HEADS, RAW_HEAD, Begin, Heads, View
from fanout_app.web.openapi import Described, OpenApiView
from fanout_app.web.ports import Runtime
from fanout_app.web.problems import Kind, Problem
from fanout_app.web.tokens import TokenCodec
from fanout_app.web.unbroken import Unbroken
from fanout_app.web.views_canary import CanaryViews
from fanout_app.web.views_control import ControlViews
from fanout_app.web.views_dashboard import DashboardViews
from fanout_app.web.views_events import EventViews
from fanout_app.web.views_leases import LeaseViews
from fanout_app.web.views_messages import MessageViews
from fanout_app.web.views_operations import OperationViews
from fanout_app.web.views_parked import ParkedViews

#: What a part of a path may be, as the router has it.
_PATTERN: Final = re.compile(r":[^}]*}")
#: The rest of a path, whatever is in it.
_REST: Final = r"{rest:[\s\S]*}"


class Row(NamedTuple):
    """One route."""

    method: str
    path: str
    view: Handler
    access: Access
    #: The same view, for requests whose heads are known.
    again: View | None = None
    #: The same without a task.
    begin: Begin | None = None


def install(
    app: web.Application,
    runtime: Runtime,
    codec: TokenCodec,
    *,
    render_metrics: Callable[[], tuple[bytes, str]],
    operators: web.Application | None = None,
    gate: Gate | None = None,
    max_waiting: int = 10_000,
    max_streams: int = 20,
    ack_wait: float = 30.0,
    redirect: bool = False,
    broadcast: bool = False,
    names: frozenset[str] | None = None,
    link: Handler | None = None,
    more: Iterable[Row] = (),
) -> None:
    """Every route of this version. The last one answers 404 and 405 for all paths that nothing else is served at.

    ``render_metrics`` gives the text of /metrics and its content type; ``operators`` is where what they ask is served
    instead, if they have a port of their own; ``gate`` says who may ask, none: everybody; ``max_waiting`` is how many
    pulls may wait at this worker, ``max_streams`` how many may look on at it, ``ack_wait`` how many seconds a lease
    lasts if the request does not say;
    ``broadcast`` gives each group every message, so that none has a share; ``redirect`` sends clients to the worker
    that is to serve their pulls; ``names`` are those by which it may be asked, none: all; ``link`` takes the calls of
    other workers; ``more`` are routes beside these.
    """
    unbroken = Unbroken()

    async def stop(app: web.Application) -> None:
        await unbroken.stop()

    messages = MessageViews(
        runtime, codec, max_waiting=max_waiting, ack_wait=ack_wait, redirect=redirect, broadcast=broadcast
    )
    leases = LeaseViews(runtime, codec, ack_wait)
    operations = OperationViews(runtime, render_metrics)
    control = ControlViews(runtime, unbroken)
    parked = ParkedViews(runtime, unbroken)
    canary = CanaryViews(runtime, unbroken, shares=not broadcast)
    for_clients = (*_of_clients(messages, leases), *more)
    openapi = OpenApiView(version("fanout-app"))
    events = EventViews(runtime, most=max_streams, broadcast=broadcast)
    for_operators = (
        *_of_page(DashboardViews(), events),
        *_of_operators(operations, leases, control, parked, canary, openapi),
    )
    for_workers = tuple(_of_workers(link))
    for_all = (*_of_health(operations), Row("*", rf"/{_REST}", unserved, Access.TOKEN))
    described = (*_of_clients(messages, leases), *for_operators, *_of_health(operations))
    openapi.describe([Described(row.method, _PATTERN.sub("}", row.path), row.access) for row in described])
    gate = gate or Gate(None)
    if operators is None:
        _add(app, gate, names, (*for_clients, *for_operators, *for_workers, *for_all))
    else:
        _add(app, gate, names, (*for_clients, *_elsewhere(for_operators, "--admin-port"), *for_workers, *for_all))
        _add(operators, gate, names, (*for_operators, *_elsewhere(for_clients, "--bind"), *for_all))
    there = app if operators is None else operators
    there.on_shutdown.append(events.stop)
    there.on_cleanup.append(stop)


def _add(app: web.Application, gate: Gate, names: frozenset[str] | None, table: Iterable[Row]) -> None:
    heads = app[HEADS] = Heads()
    for method, path, view, access, again, begin in table:
        admit = gate.admit(access)
        app.add_routes([web.route(method, path, guarded(view, admit, names), expect_handler=expecting(admit))])
        if again is not None:
            heads.serve(path, again, gate.identify(access), begin)


def _elsewhere(table: Iterable[Row], option: str) -> Iterable[Row]:
    """These routes at the port where they are not: whoever has a token is told where they are, and who needs none."""

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        raise Problem(Kind.NOT_FOUND, f"this is served at the port of {option} alone: ask there")

    return (
        row._replace(view=elsewhere, access=row.access if row.access is Access.ANYONE else Access.TOKEN, again=None)
        for row in table
    )


def _through(view: View) -> Handler:
    """A view of callers, for requests that aiohttp has read."""

    async def handle(request: web.Request) -> web.StreamResponse:
        caller = OfRequest(request)
        head = request.get(RAW_HEAD)
        if head is not None:
            request.app[HEADS].learn(head, request)
        await view(caller)
        assert caller.response is not None, "a view has answered nothing"
        return caller.response

    return handle


def _of_clients(messages: MessageViews, leases: LeaseViews) -> Iterable[Row]:
    consume = Access.CONSUME
    return (
        Row("POST", "/v1/pull", _through(messages.pull), consume, again=messages.pull, begin=messages.begin),
        Row("POST", "/v1/next", _through(messages.next), consume),
        Row("POST", "/v1/settle", _through(messages.settle), consume, again=messages.settle),
        Row("DELETE", "/v1/leases/{lease}", leases.ack, consume),
        Row("GET", "/v1/leases/{lease}", leases.state, consume),
        Row("POST", "/v1/leases/{lease}/nack", leases.nack, consume),
        Row("POST", "/v1/leases/{lease}/extend", leases.extend, consume),
        Row("POST", "/v1/leases/{lease}/reject", leases.reject, consume),
    )


def _of_operators(
    operations: OperationViews,
    leases: LeaseViews,
    control: ControlViews,
    parked: ParkedViews,
    canary: CanaryViews,
    openapi: OpenApiView,
) -> Iterable[Row]:
    """What tells how the work goes is of role metrics; what shows messages or leases, or changes anything, of admin."""
    return (
        Row("GET", "/v1/leases", leases.index, Access.ADMIN),
        Row("GET", "/v1/clients", operations.clients, Access.METRICS),
        # Any name at all; what stands for itself in a pattern of the router has no braces.
        Row("DELETE", "/v1/clients/{client:[^/]+}", control.leave, Access.ADMIN),
        Row("GET", "/v1/parked", parked.index, Access.ADMIN),
        Row("POST", "/v1/parked/redrive", parked.redrive, Access.ADMIN),
        Row("POST", "/v1/pause", control.pause, Access.ADMIN),
        Row("POST", "/v1/resume", control.resume, Access.ADMIN),
        Row("POST", "/v1/seek", control.seek, Access.ADMIN),
        Row("GET", "/v1/canary", canary.show, Access.METRICS),
        Row("PUT", "/v1/canary", canary.put, Access.ADMIN),
        Row("POST", "/v1/canary/promote", canary.promote, Access.ADMIN),
        Row("POST", "/v1/canary/rollback", canary.rollback, Access.ADMIN),
        Row("GET", "/v1/status", operations.status, Access.METRICS),
        Row("GET", "/v1/partitions", operations.partitions, Access.METRICS),
        Row("GET", "/v1/workers", operations.workers, Access.METRICS),
        Row("GET", "/v1/leader", operations.leader, Access.METRICS),
        Row("GET", "/metrics", operations.metrics, Access.METRICS),
        Row("GET", "/openapi.json", openapi.show, Access.METRICS),
    )


def _of_page(dashboard: DashboardViews, events: EventViews) -> Iterable[Row]:
    return (
        Row("GET", "/", dashboard.index, Access.ANYONE),
        Row("GET", "/dashboard/{file}", dashboard.file, Access.ANYONE),
        Row("GET", "/v1/events", events.stream, Access.METRICS),
    )


def _of_health(operations: OperationViews) -> Iterable[Row]:
    return (
        Row("GET", "/healthz", operations.healthz, Access.ANYONE),
        Row("GET", "/readyz", operations.readyz, Access.ANYONE),
    )


def _of_workers(link: Handler | None) -> Iterable[Row]:
    """What workers ask each other: no token opens it, each view asks for a seal. The last row refuses all else."""
    if link is not None:
        yield Row("GET", "/internal/link", link, Access.SEALED)
    yield Row("*", rf"/internal/{_REST}", refuse_internal, Access.SEALED)
