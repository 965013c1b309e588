"""Refuses what a browser sends here for a page of somebody else.

Where nobody is asked for a token, and that is the case at the loopback, any page that a browser on this machine shows
could pause a topic or take its messages: browsers send a POST wherever a page wants, they only keep the answer from it.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web
from aiohttp.hdrs import ORIGIN

from fanout_app.web.problems import Kind, Problem

_READS: Final = frozenset({"GET", "HEAD"})
#: By the page that is served here, or by a person.
_OURS: Final = frozenset({"same-origin", "none"})


def refuse_cross_site(request: web.Request) -> None:
    """Raises `Problem` if this would change something and a browser says that it is for a page from elsewhere.

    What is no browser sends neither of the two headers, and is let in.
    """
    if request.method in _READS:
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        if site in _OURS:
            return
    else:
        # A browser that is old, or asks a machine that is not its own without TLS, says no more than this.
        origin = request.headers.get(ORIGIN)
        if origin is None or origin.partition("://")[2].lower() == request.host.lower():
            return
    raise Problem(
        Kind.FORBIDDEN, "a browser asks for this for a page from elsewhere: only the page at / of this worker may"
    )
