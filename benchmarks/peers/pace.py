"""When each message of a paced run is due. Nothing here needs more than Python itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator


def due_in_turn(
    rate: float, messages: int, now: Callable[[], float], sleep: Callable[[float], None]
) -> Iterator[tuple[int, float]]:
    """The number of each message when it is due, and by how many seconds it is late.

    Due are they `1 / rate` seconds apart, from the first one on: what comes late does not move those after it, so the
    rate is kept after a stall. `sleep` may end early or late.
    """
    began = now()
    for number in range(messages):
        due = began + number / rate
        while (left := due - now()) > 0:
            sleep(left)
        yield number, -left
