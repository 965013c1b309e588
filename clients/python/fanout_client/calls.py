"""What to do next about a request, whoever sends it and however: the same for both clients."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from fanout_client.addresses import Addresses, origin
from fanout_client.backoff import Backoff
from fanout_client.errors import UnknownAddressError
from fanout_client.wire import Again, Done, Elsewhere, Request, judge

logger = logging.getLogger("fanout_client")

#: Redirects of one request (`docs/api.md`, Routing).
_MOST_REDIRECTS: Final = 2


class Call:
    """One request until it is answered: where to send it, and after how long a pause.

    while True:
        url, request = call.next(now)
        ...send it...
        pause = call.answered(...) or call.failed(...)
        if call.done is not None: ...
    """

    def __init__(self, addresses: Addresses, make: Callable[[int], Request], *, has_token: bool) -> None:
        """``make`` is told how many attempts were made before, and gives the request."""
        self._addresses = addresses
        self._make = make
        self._has_token = has_token
        self._backoff = Backoff()
        self._attempts = 0
        self._redirects = 0
        self._at: str | None = None
        self._asked = ""
        #: The answer, once there is one.
        self.done: Done | None = None

    def next(self, now: float) -> tuple[str, Request]:
        """The worker to ask, and what; ``now`` is of a monotonic clock, in seconds."""
        request = self._make(self._attempts)
        if self._at is None:
            self._asked = self._addresses.current(now)
            return self._asked + request.path, request
        url, self._at = self._at, None
        self._asked = origin(url)
        return url, request

    def answered(self, now: float, status: int, header: Callable[[str], str | None], body: bytes) -> float:
        """Seconds until `next` is to be asked, where there is no answer yet.

        Raises:
            RefusedError: it will not be answered otherwise.
            UnknownAddressError: it is to go where this client's token must not go.
        """
        match judge(self._asked, status, header, body):
            case Done() as done:
                self.done = done
                return 0.0
            case Elsewhere(url=url):
                return self._redirected(now, url)
            case Again(after=after, moving=moving, why=why):
                return self._again(now, why, after, elsewhere=not moving)

    def failed(self, now: float, error: Exception) -> float:
        """The same where no answer has come."""
        text = " ".join(str(error).split())
        return self._again(now, f"{self._asked}: {type(error).__name__}{': ' * bool(text)}{text}", 0.0, elsewhere=True)

    def _redirected(self, now: float, url: str) -> float:
        if self._has_token and url not in self._addresses:
            raise UnknownAddressError(origin(url))
        self._redirects += 1
        if self._redirects > _MOST_REDIRECTS:
            self._redirects = 0
            return self._again(now, f"{self._asked}: redirected too often", 0.0, elsewhere=False)
        self._at = url
        return 0.0

    def _again(self, now: float, why: str, after: float, *, elsewhere: bool) -> float:
        if elsewhere:
            self._addresses.failed(self._asked, now)
        pause = self._backoff.next(after)
        logger.log(logging.DEBUG if self._attempts else logging.WARNING, "%s; asking again in %.1f s", why, pause)
        self._attempts += 1
        return pause
