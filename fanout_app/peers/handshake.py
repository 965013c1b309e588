"""How workers know each other: a call under /internal/ carries a seal by the lease keys, and so does its answer.

A seal covers the method, the path with its query, and the body. The query says who calls whom and when, and a number
that is used once, so a call that was listened to is of no use to anyone: neither later, nor again, nor elsewhere.
When it is, is the business of who is called. A caller whose clock is another one is told the time, sealed as well, and
calls again; a clock that is set while a worker runs is of no matter, since each goes on from what it was at its start.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from time import monotonic
from typing import Final
from urllib.parse import parse_qs, urlencode

from fanout_app.core.errors import FanoutError
from fanout_app.lease_keys import Seal

LINK: Final = "/internal/link"
SEAL_HEADER: Final = "Fanout-Seal"
TIME_HEADER: Final = "Fanout-Time"
#: Seconds for which a call is good (`docs/api.md`, Routing).
FRESH: Final = 30.0


class RefusedError(FanoutError):
    """A call under /internal/ that no worker of ours has made, or not just now, or not to us."""


class WrongTimeError(RefusedError):
    """One that a worker of ours has made to us, by another clock than ours or a while ago."""


def _running_on() -> Callable[[], float]:
    """The wall clock as it would be if nobody had set it since."""
    started = time.time() - monotonic()
    return lambda: started + monotonic()


class Handshake:
    """Makes and checks the calls of one worker."""

    def __init__(self, seal: Seal, me: str, clock: Callable[[], float] | None = None) -> None:
        """``clock`` is the time here, in seconds, by default as the wall clock has it."""
        self._seal = seal
        self._me = me
        self._clock = clock or _running_on()
        #: Seconds by which the clocks of others are ahead of ours, where that mattered.
        self._ahead: dict[str, float] = {}
        #: Numbers that have been used, and when they need to be remembered no longer.
        self._used: dict[str, float] = {}

    def call(self, to: str) -> tuple[str, str]:
        """The path with its query, and the seal, of a call to this worker."""
        once = secrets.token_hex(16)
        at = self._clock() + self._ahead.get(to, 0.0)
        query = urlencode({"from": self._me, "to": to, "time": f"{at:.3f}", "once": once})
        path = f"{LINK}?{query}"
        return path, self._seal.of("call", b"GET", path.encode(), b"").hex()

    def check(self, method: str, path: str, seal: str) -> str:
        """Who has made this call.

        Raises:
            WrongTimeError: it is to be told the `time_here`.
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
            raise WrongTimeError(f"it was made {now - at:.0f} s ago by its clock: set the clocks of the machines right")
        self._forget(now)
        if once in self._used:
            raise RefusedError("it was made before")
        self._used[once] = now + 2 * FRESH
        return caller

    def time_here(self, path: str) -> tuple[str, str]:
        """What time it is and the seal of that, for the caller of this path alone."""
        now = f"{self._clock():.3f}"
        return now, self._seal.of("time", path.encode(), now.encode()).hex()

    def correct(self, to: str, path: str, time_there: str, seal: str) -> float | None:
        """Call this worker by its own clock from now on; it has refused our call of this path for its time.

        Returns:
            By how many seconds that clock is ahead of ours. None if it was not that worker who said so.
        """
        if not self._seal.fits(_unhex(seal), "time", path.encode(), time_there.encode()):
            return None
        self._ahead[to] = float(time_there) - self._clock()
        return self._ahead[to]

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
