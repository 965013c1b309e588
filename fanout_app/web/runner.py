"""Runs an application on the connections of `fanout_app.web.protocol`, and ends these: those between workers last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any, Final

from aiohttp import web

from fanout_app.web.known import HEADS, Heads
from fanout_app.web.places import Placed, Places
from fanout_app.web.protocol import Server
from fanout_app.web.serving_limits import ServingLimits

_BOUNDLESS: Final = 1 << 62


class ProblemRunner(web.AppRunner):
    """In place of aiohttp's own."""

    def __init__(
        self, app: web.Application, limits: ServingLimits, *, always: Collection[str] = (), **kwargs: Any
    ) -> None:
        """``always`` are the paths that are answered also where there is no place for one more connection."""
        super().__init__(
            app,
            access_log=None,
            keepalive_timeout=limits.idle_timeout,
            max_line_size=limits.header_size,
            max_field_size=limits.header_size,
            **kwargs,
        )
        self.limits = limits
        self.places = Places[Placed](_BOUNDLESS)
        self._always = always

    def allow(self, connections: int) -> None:
        """How many may be open from now on."""
        self.places.most = connections

    def entering(self, on_made: Callable[[], None]) -> asyncio.Protocol:
        """For a connection with TLS; ``on_made`` is called once hands are shaken, before it takes a place."""
        assert isinstance(self.server, Server)
        return self.server.entering(on_made)

    async def shutdown(self) -> None:
        """Once whoever is asking has been answered, which other workers may be needed for, end the connections to them.

        They would last until they are cut off, and be waited for until then.
        """
        await super().shutdown()
        assert self.server is not None
        connections = self.server.connections
        answering = [one._task_handler for one in connections if one._task_handler is not None and not one._upgraded]
        if answering:
            await asyncio.wait(answering, timeout=self._shutdown_timeout)
        for one in connections:
            if one._upgraded:
                one.force_close()

    async def _make_server(self) -> web.Server:
        heads = self.app.get(HEADS, Heads())
        return Server(await super()._make_server(), self.limits, self.places, self._always, heads)
