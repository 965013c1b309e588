"""How long to wait before asking again."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

#: Seconds before the second attempt; each one more waits twice as long, up to `LONGEST`.
FIRST: Final = 0.1
LONGEST: Final = 5.0


class Backoff:
    """Of one request that is sent until it is answered. Half of each wait is by chance: clients that failed together
    do not come back together."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        """``chance`` is in [0, 1)."""
        self._chance = chance
        self._attempts = 0

    def next(self, at_least: float = 0.0) -> float:
        """Seconds to wait; ``at_least`` is what the cluster has asked for (``Retry-After``)."""
        longest: float = min(LONGEST, FIRST * 2**self._attempts)
        self._attempts += 1
        return at_least + longest * (0.5 + 0.5 * self._chance())
