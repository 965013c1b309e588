"""Waiting for what is about to become true, with a deadline instead of a guess."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(condition: Callable[[], Awaitable[T]], deadline: float = 20.0, every: float = 0.05) -> T: ...


@overload
async def eventually(condition: Callable[[], T], deadline: float = 20.0, every: float = 0.05) -> T: ...


async def eventually(condition: Callable[[], Any], deadline: float = 20.0, every: float = 0.05) -> Any:
    """Ask again and again until the answer is true, and return it.

    A condition may also fail with an AssertionError as long as it does not hold; the last one is what a test that
    waited in vain shows.
    """
    ends = monotonic() + deadline
    while True:
        failure: AssertionError | None = None
        answer: Any = None
        try:
            asked = condition()
            answer = await asked if inspect.isawaitable(asked) else asked
        except AssertionError as error:
            failure = error
        if failure is None and answer:
            return answer
        if monotonic() > ends:
            raise failure or AssertionError(f"not true within {deadline:g} s, the last answer was {answer!r}")
        await asyncio.sleep(every)
