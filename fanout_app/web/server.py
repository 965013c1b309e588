"""Serves the views on Faust's web server, in the worker's own event loop."""

from __future__ import annotations

import logging
from typing import Any

from aiohttp.web import Application, BaseSite
from faust.web.drivers.aiohttp import Web

from fanout_app.web.listening import exposed, listen, listen_for_operators, names_of, new_runner, new_site, url_of
from fanout_app.web.open_files import room_for
from fanout_app.web.views import install

logger = logging.getLogger("fanout.web.server")

#: Connections at the port of those who run it, beside those of `--max-streams`.
_MOST_OPERATORS = 30


class FanoutWeb(Web):
    """Faust's aiohttp web server, with our views alone and told when a client has gone."""

    def __init__(self, app: Any, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self._runner = new_runner(self.web_app, app.options)
        self._operators: Application | None = None
        if app.options.admin_port is not None:
            self._operators = Application(**app.conf.web_application_options)
            self._operators_runner = new_runner(self._operators, app.options)
            self._operators_runner.allow(_MOST_OPERATORS + app.options.max_streams)
        #: Where this worker answers, once it does.
        self.address = ""

    def _enabled_blueprints(self) -> list[Any]:
        return []  # Faust's own pages show tables and settings to whoever asks

    async def on_start(self) -> None:
        app = self.app
        room = room_for(app.options.max_waiting, app.options.max_connections, app.options.max_streams)
        self._runner.allow(room.connections)
        install(
            self.web_app,
            app.runtime,
            app.tokens,
            render_metrics=app.metrics.render,
            operators=self._operators,
            gate=app.gate,
            max_waiting=room.pulls,
            max_streams=app.options.max_streams,
            ack_wait=app.options.ack_wait,
            redirect=app.options.routing == "redirect",
            broadcast=app.options.delivery == "broadcast",
            names=names_of(app.options),
            link=lambda request: app.mesh.accept(request),
        )
        await super().on_start()

    async def start_server(self) -> None:
        if self._operators is not None:
            # Before the other port is chosen, where that is left to us.
            listener = listen_for_operators(self.app.options.bind, self.app.options.admin_port)
            await self._operators_runner.setup()
            await new_site(self._operators_runner, listener, self.app.tls).start()
            logger.info("serving those who run it at %s", url_of(listener, self.app.options.scheme))
        await super().start_server()

    async def stop_server(self) -> None:
        if self._operators is not None:
            await self._operators_runner.cleanup()
        await super().stop_server()

    def _create_site(self) -> BaseSite:
        listener = listen(self.app.options.bind)
        host, port = listener.getsockname()[:2]  # two more follow for IPv6
        self.address = url_of(listener, self.app.options.scheme)
        if self.app.options.tokens_file is None and exposed(self.app.options.bind):
            self.app.runtime.insecure = True
            logger.warning("--insecure: whoever reaches %s may take and settle messages", self.address)
        logger.info("serving %s at %s", self.app.options.name, self.address)
        self.app.serves_at(host, port)
        return new_site(self._runner, listener, self.app.tls)
