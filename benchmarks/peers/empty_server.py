"""The server of `empty_handler`: python -m benchmarks.peers.empty_server PORT."""

from __future__ import annotations

import sys

import uvloop
from aiohttp import web


async def _answer(request: web.Request) -> web.Response:
    # Read, since every handler with something to do reads it.
    await request.read()
    return web.Response(body=b"{}", headers={"Content-Type": "application/json"})


def main() -> None:
    app = web.Application()
    app.router.add_post("/v1/pull", _answer)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), loop=uvloop.new_event_loop(), print=None, access_log=None)


if __name__ == "__main__":
    main()
