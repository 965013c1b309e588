"""The table of addresses: which view answers what."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiohttp import web

from fanout_app.web.handlers import expect, guarded, unserved
from fanout_app.web.ports import Runtime
from fanout_app.web.tokens import TokenCodec
from fanout_app.web.views_leases import LeaseViews
from fanout_app.web.views_messages import MessageViews
from fanout_app.web.views_operations import OperationViews


def routes(
    runtime: Runtime,
    codec: TokenCodec,
    *,
    render_metrics: Callable[[], tuple[bytes, str]],
    max_waiting: int = 10_000,
    ack_wait: float = 30.0,
) -> Sequence[web.AbstractRouteDef]:
    """Every route of this version. The last one answers 404 and 405 for all paths that nothing else is served at.

    ``render_metrics`` gives the text of /metrics and its content type; ``max_waiting`` is how many pulls may wait at
    this worker, ``ack_wait`` how many seconds a lease lasts if the request does not say.
    """
    messages = MessageViews(runtime, codec, max_waiting=max_waiting, ack_wait=ack_wait)
    leases = LeaseViews(runtime, codec, ack_wait)
    operations = OperationViews(runtime, render_metrics)
    table = (
        ("POST", "/v1/pull", messages.pull),
        ("POST", "/v1/next", messages.next),
        ("POST", "/v1/settle", messages.settle),
        ("DELETE", "/v1/leases/{lease}", leases.ack),
        ("GET", "/v1/leases/{lease}", leases.state),
        ("POST", "/v1/leases/{lease}/nack", leases.nack),
        ("POST", "/v1/leases/{lease}/extend", leases.extend),
        ("POST", "/v1/leases/{lease}/reject", leases.reject),
        ("GET", "/healthz", operations.healthz),
        ("GET", "/readyz", operations.readyz),
        ("GET", "/metrics", operations.metrics),
        ("GET", "/v1/status", operations.status),
        ("GET", "/v1/partitions", operations.partitions),
        ("GET", "/v1/clients", operations.clients),
        ("*", r"/{rest:[\s\S]*}", unserved),
    )
    return [web.route(method, path, guarded(handler), expect_handler=expect) for method, path, handler in table]
