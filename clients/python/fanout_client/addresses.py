"""The workers that a client may ask: one for as long as it answers, then another one."""

from __future__ import annotations

import random
from collections.abc import Callable, MutableSequence, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

#: Seconds after which the first address is tried again, so that a worker that was restarted gets its clients back.
BACK_AFTER: Final = 10.0


def origin(url: str) -> str:
    """``http://HOST:PORT`` of an address.

    Raises:
        ValueError: it is none of an HTTP server.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is no address of a worker: write http://HOST:PORT")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address may end up in a log, so no name or password belongs into it: use token=")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


class Addresses:
    """Any worker gives messages of all and takes settlements for all, so one is as good as another."""

    def __init__(
        self, urls: Sequence[str], *, shuffle: Callable[[MutableSequence[Any]], None] = random.shuffle
    ) -> None:
        """Many clients are given the same list: each has an order of its own, by ``shuffle``."""
        if not urls:
            raise ValueError("name at least one worker, as http://HOST:PORT")
        self._urls = list(dict.fromkeys(map(origin, urls)))
        shuffle(self._urls)
        self._at = 0
        self._back_at = 0.0

    def current(self, now: float) -> str:
        """The one to ask; ``now`` is of a monotonic clock, in seconds."""
        if self._at and now >= self._back_at:
            self._at = 0
        return self._urls[self._at]

    def failed(self, url: str, now: float) -> None:
        """It did not answer, or cannot serve: go on at the next one. Only the first of many requests at it counts."""
        if self._urls[self._at] == url:
            self._at = (self._at + 1) % len(self._urls)
            self._back_at = now + BACK_AFTER

    def __contains__(self, url: str) -> bool:
        return origin(url) in self._urls
