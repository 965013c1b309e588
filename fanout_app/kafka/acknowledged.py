"""Waiting for what a producer has been given to be acknowledged, for as long as one likes."""

from __future__ import annotations

import asyncio
from typing import Any


async def acknowledged(sent: asyncio.Future[Any]) -> Any:
    """What Kafka answers. Who gives up waiting takes nothing back: it may be written all the same.

    What becomes of it then is nobody's business any more, and asyncio is not to complain that nobody has asked.

    Raises:
        KafkaError: it was not acknowledged.
    """
    sent.add_done_callback(_heard)
    return await asyncio.shield(sent)


def _heard(sent: asyncio.Future[Any]) -> None:
    if not sent.cancelled():
        sent.exception()
