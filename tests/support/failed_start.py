"""What a start that cannot succeed leaves behind: an exit code and one line."""

from __future__ import annotations

from support.workers import Worker

CANNOT_START = 2
#: Where the same start may go well a moment later.
START_AGAIN = 1
#: A start that fails at once takes 2 s here, with a busy machine's allowance.
AT_ONCE = 40.0


async def last_line(worker: Worker, deadline: float = AT_ONCE, code: int = CANNOT_START) -> str:
    """The one line, beside those of the ordinary course of things, that it said before it ended with this code."""
    exit = await worker.ended(deadline)
    return one_line(worker.text(), exit.code, code)


def one_line(text: str, code: int, expected: int = CANNOT_START) -> str:
    assert code == expected, text
    assert "Traceback" not in text, text
    beyond = [line for line in text.splitlines() if " INFO " not in line]
    assert len(beyond) == 1, text
    assert text.splitlines()[-1] == beyond[0], text
    return beyond[0]
