"""The page at ``/`` and its files: they hold no data, and are given to everybody.

What the page shows it asks for itself, with the token that its reader gives it. Nothing in it is from elsewhere, and
browsers are told not to take anything that is.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from aiohttp import web

from fanout_app.web.problems import not_found

FOLDER: Final = Path(__file__).with_name("dashboard")
INDEX: Final = "index.html"
_CONTENT_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Asked for each time, and not sent again while it is the same: a page of one version never runs with parts of
    # another.
    "Cache-Control": "no-cache",
}


class _File(NamedTuple):
    body: bytes
    tag: str
    headers: dict[str, str]


class DashboardViews:
    """All files are read once, when the worker starts."""

    def __init__(self) -> None:
        self._files = {path.name: _read(path) for path in FOLDER.iterdir() if path.suffix in _CONTENT_TYPES}

    async def index(self, request: web.Request) -> web.StreamResponse:
        return self._answer(request, INDEX)

    async def file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["file"]
        if name not in self._files or name == INDEX:  # whose links lead astray from here
            raise not_found(request.path)
        return self._answer(request, name)

    def _answer(self, request: web.Request, name: str) -> web.Response:
        file = self._files[name]
        known = request.if_none_match or ()
        if any(tag.value in (file.tag, "*") for tag in known):
            return web.Response(status=304, headers=file.headers)
        return web.Response(body=file.body, headers=file.headers)


def _read(path: Path) -> _File:
    body = path.read_bytes()
    tag = sha256(body).hexdigest()[:32]
    return _File(body, tag, {**_HEADERS, "Content-Type": _CONTENT_TYPES[path.suffix], "ETag": f'"{tag}"'})
