"""How long something that fails is tried again."""

from __future__ import annotations

from time import monotonic


class Patience:
    """Who does not answer is waited for without end, who refuses for some seconds: a refusal may pass, or be final."""

    def __init__(self, seconds: float) -> None:
        """``seconds`` are counted from the first of the refusals that nothing else has come between."""
        self._seconds = seconds
        self._refused_at: float | None = None

    def is_over(self, *, refused: bool) -> bool:
        """To be asked after each failure."""
        if not refused:
            self._refused_at = None
            return False
        now = monotonic()
        if self._refused_at is None:
            self._refused_at = now
        return now > self._refused_at + self._seconds
