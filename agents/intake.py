"""The agent that consumes the topic: it takes fetches of records, and the runtime decides what becomes of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fanout_app.faust_app import Fanout


def declare(app: Fanout) -> Any:
    """One event is what one poll brought, see `fanout_app.kafka.transport`."""

    @app.agent(app.source_topic, name="fanout.intake")
    async def intake(stream: Any) -> AsyncIterator[None]:
        # noack: what is settled, the ledger says; leaving this loop's body must not ack anything.
        async for event in stream.noack().events():
            brought = event.message.value
            for fetch in brought.fetches:
                await app.runtime.take(fetch)
            brought.wait_no_more()
            yield

    return intake
