"""The consumer group, for who is about to leave it: through the app's one consumer, and bounded in time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from aiokafka.errors import KafkaError

from fanout_app.kafka.membership import Membership

logger = logging.getLogger("fanout.kafka.group")

#: Seconds for each question and each farewell: a coordinator that does not answer must not hold up a stop.
_WITHIN = 2.0


class ConsumerGroup:
    """The departure's `Group`."""

    def __init__(self, app: Any, membership: Membership, on_leaving: Callable[[], None]) -> None:
        """``on_leaving`` is called while the partitions are ours for the last time."""
        self._app = app
        self._membership = membership
        self._on_leaving = on_leaving

    async def others(self) -> bool:
        if self._app.should_stop:
            return False
        try:
            async with asyncio.timeout(_WITHIN):
                return bool(await self._app.consumer.members() > 1)
        except (KafkaError, TimeoutError) as error:
            logger.debug("who is in the group is not known: %r", error)
            return False

    def leaving(self) -> None:
        self._on_leaving()
        self._membership.rebalance_began()

    async def leave(self) -> bool:
        if self._app.should_stop:
            return False  # nor does its consumer answer
        consumer = self._app.consumer
        for farewell in (consumer.commit_floors, consumer.leave_group):
            try:
                async with asyncio.timeout(_WITHIN):
                    await farewell()
            except (KafkaError, TimeoutError) as error:
                # The ledger rows say the same as the floors, and a member that is silent is missed after its session.
                logger.warning("the group's coordinator was not told that this worker leaves: %r", error)
        return True
