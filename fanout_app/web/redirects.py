"""Redirect mode: a pull is answered 307 with the worker that is to serve it; method and body stay the client's."""

from __future__ import annotations

from yarl import URL

from fanout_app.core.redirecting import Redirecting
from fanout_app.web.ports import Runtime
from fanout_app.web.reply import Reply

#: The query field that counts the redirects of a pull.
FIELD = "redirects"


class Redirects:
    """Answers instead of a worker that is not to serve a pull."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._redirecting = Redirecting(runtime.worker)

    def of(self, url: URL, redirects: int) -> Reply | None:
        """The redirect of a pull of this address that had so many already; None: it is served here."""
        leader = self._runtime.leading.leader()
        present = self._runtime.roster.present(self._runtime.now())
        target = self._redirecting.target(redirects, leader, present)
        if target is None or leader is None:
            return None
        place = url.update_query({FIELD: str(redirects + 1)})
        return Reply(307, (("Location", f"{target}{place}"), ("Fanout-Leader", leader.address)))
