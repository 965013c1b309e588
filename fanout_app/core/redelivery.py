"""How long a message rests before it is tried again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential, with jitter: nothing after the first failure, then ``first`` seconds, doubling up to ``longest``."""

    first: float = 0.1
    longest: float = 60.0

    def delay(self, delivery_count: int, jitter: float) -> float:
        """Seconds to wait after this delivery failed; ``jitter`` in [0, 1) takes up to half of it off again."""
        if delivery_count <= 1:
            return 0.0
        return float(min(self.longest, self.first * 2.0 ** min(delivery_count - 2, 64)) * (1.0 - jitter / 2.0))
