"""The shares of groups as an operator sets and reads them."""

from __future__ import annotations

from typing import Any, NamedTuple

import aiohttp

from support.workers import Worker


class Answer(NamedTuple):
    """What came of a request."""

    status: int
    #: The ETag; empty where there is none.
    tag: str
    body: Any


class Shares:
    """Asks any worker."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def ask(self, worker: Worker, method: str, path: str = "", **options: Any) -> Answer:
        async with self._session.request(method, f"{worker.url}/v1/canary{path}", **options) as answer:
            return Answer(answer.status, answer.headers.get("ETag", ""), await answer.json(content_type=None))

    async def put(self, worker: Worker, weights: dict[str, int], tag: str = "*", **fields: Any) -> Answer:
        """By default whatever holds."""
        return await self.ask(worker, "PUT", json={"weights": weights, **fields}, headers={"If-Match": tag})

    async def set(self, worker: Worker, weights: dict[str, int], **fields: Any) -> Answer:
        """As `put`, which must go well."""
        answer = await self.put(worker, weights, **fields)
        assert answer.status == 200, answer
        return answer

    async def weights(self, worker: Worker) -> dict[str, int]:
        """As this worker has them."""
        weights: dict[str, int] = (await self.ask(worker, "GET")).body["weights"]
        return weights

    async def group(self, worker: Worker, name: str = "canary") -> dict[str, Any]:
        """How it stands with a group, as this worker says."""
        group: dict[str, Any] = (await self.ask(worker, "GET")).body["groups"][name]
        return group
