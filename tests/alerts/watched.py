"""A worker's runtime with nothing real around it, whose clients do their work, and which is scraped."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

from fanout_app.core.dispatcher import Limits
from fanout_app.core.lease import Answer
from fanout_app.core.requests import Pull, Settle
from fanout_app.metrics import Metrics
from support.messages import FakeMessage
from unit.fake_ports import LONG, FakeFetch
from unit.scene import Scene, entries


class _Leads:
    """Leadership as a test says it is."""

    def __init__(self) -> None:
        self.acting = True
        self.changes = 0
        self.epoch = 1

    def leader(self) -> None:
        return None

    def may_act(self) -> bool:
        return self.acting


class Watched(Scene):
    """It leads, and owns partitions 0 and 1."""

    def __init__(self) -> None:
        super().__init__(replace(Limits(), client_ttl=30.0, max_ack_pending=20))
        self.leads = self.runtime.leading = cast(Any, _Leads())
        self.metrics = Metrics(self.runtime)
        self.runtime.commit.on_commit_seconds = self.metrics.commit_seconds
        self.runtime.commit.on_commit_failed = self.metrics.commit_failed

    def scrape(self) -> bytes:
        return self.metrics.render()[0]

    async def come(self, count: int, *, seconds_ago: float = 0.0) -> None:
        """Messages that were produced so long ago."""
        asked = self.runtime.dispatcher.partitions[0].next_offset
        stamp = int(1000 * (time.time() - seconds_ago))
        found = [FakeMessage(offset, timestamp=stamp) for offset in range(asked, asked + count)]
        await self.runtime.take(FakeFetch(0, asked, asked + count, list(found)))

    async def take(
        self, client: str = "A", count: int = 1, *, ack_wait: float = 600.0, group: str = "stable"
    ) -> Answer:
        pull = Pull(client=client, group=group, max_messages=count, ack_wait=ack_wait)
        answer = await self.runtime.pull(pull, wait=LONG)
        assert isinstance(answer, Answer)
        return answer

    async def ack(self, answers: Iterable[Answer], *, durable: bool = False) -> None:
        for answer in answers:
            await self.runtime.settle(Settle(ack=entries(answer), durable=durable))

    async def work(self, count: int = 1) -> None:
        """So many messages come, and are done."""
        await self.come(count)
        await self.ack([await self.take("worker", count)])
