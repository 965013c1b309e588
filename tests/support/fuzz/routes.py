"""The routes, from the application itself, so that none is forgotten."""

from __future__ import annotations

from aiohttp import web

from fanout_app.lease_keys import LeaseKeys
from fanout_app.web.tokens import TokenCodec
from fanout_app.web.views import install
from unit.web.fake_runtime import FakeRuntime


def routes_of() -> list[tuple[str, str]]:
    """Method and path of each; ``*`` is any method, and names in braces are for anything at all."""
    app = web.Application()
    install(
        app, FakeRuntime(), TokenCodec(LeaseKeys([b"x"]), "id", "topic"), render_metrics=lambda: (b"", ""), link=_link
    )
    routes = ((route.method, route.resource) for route in app.router.routes())
    return [(method, _plain(resource.canonical)) for method, resource in routes if resource is not None]


async def _link(request: web.Request) -> web.StreamResponse:
    """Only its route is looked at."""
    return web.Response()


def _plain(path: str) -> str:
    return path.replace("{rest}", "anything")
