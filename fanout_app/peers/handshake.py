"""How workers know each other: a call under /internal/ carries a seal by the lease keys, and so does its answer.

A seal covers the method, the path with its query, and the body. The query says who calls whom and when, and a number
that is used once, so a call that was listened to is of no use to anyone: neither later, nor again, nor elsewhere.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs, urlencode

from fanout_app.core.errors import FanoutError
from fanout_app.lease_keys import Seal

LINK: Final = "/internal/link"
SEAL_HEADER: Final = "Fanout-Seal"
#: Seconds that the clocks of two workers may be apart (`docs/api.md`, Routing).
FRESH: Final = 30.0


class RefusedError(FanoutError):
    """A call under /internal/ that no worker of ours has made, or not just now, or not to us."""


class Handshake:
    """Makes and checks the calls of one worker."""

    def __init__(self, seal: Seal, me: str, clock: Callable[[], float] = time.time) -> None:
        """``clock`` is the wall clock, in seconds."""
        self._seal = seal
        self._me = me
        self._clock = clock
        #: Numbers that have been used, and when they need to be remembered no longer.
        self._used: dict[str, float] = {}

    def call(self, to: str) -> tuple[str, str]:
        """The path with its query, and the seal, of a call to this worker."""
        once = secrets.token_hex(16)
        query = urlencode({"from": self._me, "to": to, "time": f"{self._clock():.3f}", "once": once})
        path = f"{LINK}?{query}"
        return path, self._seal.of("call", b"GET", path.encode(), b"").hex()

    def check(self, method: str, path: str, seal: str) -> str:
        """Who has made this call.

        Raises:
            RefusedError: it has to be refused; the text says why, for a log and not for the caller.
        """
        raw = _unhex(seal)
        if not self._seal.fits(raw, "call", method.encode(), path.encode(), b""):
            raise RefusedError("it is not sealed with a key of ours")
        query = {name: values[0] for name, values in parse_qs(path.partition("?")[2]).items()}
        try:
            caller, to, at, once = query["from"], query["to"], float(query["time"]), query["once"]
        except (KeyError, ValueError):
            raise RefusedError("its query is not complete") from None
        now = self._clock()
        if to != self._me:
            raise RefusedError(f"it was made to {to}")
        if abs(now - at) > FRESH:
            raise RefusedError(f"it was made {now - at:.0f} s ago by its clock: set the clocks of the machines right")
        self._forget(now)
        if once in self._used:
            raise RefusedError("it was made before")
        self._used[once] = now + 2 * FRESH
        return caller

    def answer(self, path: str) -> bytes:
        """The proof for the caller of this path that it has reached a worker of ours."""
        return self._seal.of("answer", path.encode())

    def answered(self, path: str, proof: bytes) -> bool:
        """Whether that is the answer to our call."""
        return self._seal.fits(proof, "answer", path.encode())

    def _forget(self, now: float) -> None:
        for once in [once for once, until in self._used.items() if until < now]:
            del self._used[once]


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
