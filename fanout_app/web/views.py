"""The table of addresses: which view answers what."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from aiohttp import web

from fanout_app.web.handlers import Handler, expect, guarded, unserved
from fanout_app.web.ports import Runtime
from fanout_app.web.tokens import TokenCodec
from fanout_app.web.unbroken import Unbroken
from fanout_app.web.views_control import ControlViews
from fanout_app.web.views_leases import LeaseViews
from fanout_app.web.views_messages import MessageViews
from fanout_app.web.views_operations import OperationViews
from fanout_app.web.views_parked import ParkedViews

#: Method, address, view.
Row = tuple[str, str, Handler]


def install(
    app: web.Application,
    runtime: Runtime,
    codec: TokenCodec,
    *,
    render_metrics: Callable[[], tuple[bytes, str]],
    max_waiting: int = 10_000,
    ack_wait: float = 30.0,
) -> None:
    """Every route of this version. The last one answers 404 and 405 for all paths that nothing else is served at.

    ``render_metrics`` gives the text of /metrics and its content type; ``max_waiting`` is how many pulls may wait at
    this worker, ``ack_wait`` how many seconds a lease lasts if the request does not say.
    """
    unbroken = Unbroken()

    async def stop(app: web.Application) -> None:
        await unbroken.stop()

    messages = MessageViews(runtime, codec, max_waiting=max_waiting, ack_wait=ack_wait)
    leases = LeaseViews(runtime, codec, ack_wait)
    operations = OperationViews(runtime, render_metrics)
    control = ControlViews(runtime, unbroken)
    parked = ParkedViews(runtime, unbroken)
    table = (
        *_of_clients(messages, leases),
        *_of_operators(operations, leases, control, parked),
        ("*", r"/{rest:[\s\S]*}", unserved),
    )
    app.add_routes([web.route(method, path, guarded(view), expect_handler=expect) for method, path, view in table])
    app.on_cleanup.append(stop)


def _of_clients(messages: MessageViews, leases: LeaseViews) -> Iterable[Row]:
    return (
        ("POST", "/v1/pull", messages.pull),
        ("POST", "/v1/next", messages.next),
        ("POST", "/v1/settle", messages.settle),
        ("DELETE", "/v1/leases/{lease}", leases.ack),
        ("GET", "/v1/leases/{lease}", leases.state),
        ("POST", "/v1/leases/{lease}/nack", leases.nack),
        ("POST", "/v1/leases/{lease}/extend", leases.extend),
        ("POST", "/v1/leases/{lease}/reject", leases.reject),
    )


def _of_operators(
    operations: OperationViews, leases: LeaseViews, control: ControlViews, parked: ParkedViews
) -> Iterable[Row]:
    return (
        ("GET", "/v1/leases", leases.index),
        ("GET", "/v1/clients", operations.clients),
        # Any name at all; what stands for itself in a pattern of the router has no braces.
        ("DELETE", "/v1/clients/{client:[^/]+}", control.leave),
        ("GET", "/v1/parked", parked.index),
        ("POST", "/v1/parked/redrive", parked.redrive),
        ("POST", "/v1/pause", control.pause),
        ("POST", "/v1/resume", control.resume),
        ("POST", "/v1/seek", control.seek),
        ("GET", "/v1/status", operations.status),
        ("GET", "/v1/partitions", operations.partitions),
        ("GET", "/healthz", operations.healthz),
        ("GET", "/readyz", operations.readyz),
        ("GET", "/metrics", operations.metrics),
    )
