"""A client as an application would write it: takes messages and acks them, elsewhere while its own worker is gone.

.venv/bin/python examples/client.py NAME --workers HOST:PORT,HOST:PORT
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import aiohttp

#: Seconds before the next attempt, so that a cluster that is down is not asked thousands of times.
PAUSE = 0.2
#: Seconds that an answer may take on top of what its pull waits (`docs/api.md`, Errors).
GRACE = 5.0
#: Why another worker may do better: this one stops, has too many who wait, or has lost Kafka.
_ELSEWHERE = (429, 503)
#: A partition is on its way to another worker: the same for whoever is asked.
_MOVING = "urn:fanout:problem:moving"
#: What an ack may be answered that needs nothing more.
_DONE = (None, "late", "already_settled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, and the lease to ack it with."""

    lease: str
    partition: int
    offset: int
    delivery_count: int
    value: str | None

    @property
    def place(self) -> tuple[int, int]:
        """What names the message, however often it comes."""
        return self.partition, self.offset


class Client:
    """Asks one worker for as long as that answers, since any worker gives messages of all and takes acks for all."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        name: str,
        workers: Sequence[str],
        moved: Callable[[Client, str], None] = lambda client, gone: None,
        back_after: float = 10.0,
        group: str = "stable",
    ) -> None:
        """``workers`` are addresses as ``http://127.0.0.1:6066``, its own first. ``moved`` is told which one was given
        up for the next; after ``back_after`` seconds its own is tried again, so that one that was restarted does not
        stay without clients.
        """
        self.name = name
        self._group = group
        self._http = http
        self._workers = list(workers)
        self._at = 0
        self._moved = moved
        self._back_after = back_after
        self._back_at = 0.0

    @property
    def worker(self) -> str:
        """The address that is asked at the moment."""
        return self._workers[self._at]

    async def pull(self, *, most: int = 1, wait: float = 20.0, ack_wait: float = 30.0) -> list[Message]:
        """Up to ``most`` messages, or none if none came within ``wait`` seconds."""
        body = {
            "client": self.name,
            "group": self._group,
            "max_messages": most,
            "wait_ms": int(wait * 1000),
            "ack_wait_ms": int(ack_wait * 1000),
            "encoding": "utf8",
        }
        answer = await self._post("/v1/pull", body, wait + GRACE)
        return [
            Message(**{name: row[name] for name in Message.__dataclass_fields__}) for row in answer.get("messages", [])
        ]

    async def ack(self, messages: Sequence[Message]) -> list[Message]:
        """Say that these are done, until that counts; answers those that will not come again."""
        return await self._settle(messages, lambda leases: {"ack": leases})

    async def nack(self, messages: Sequence[Message], reason: str) -> None:
        """Say that these did not work out: others get them."""
        await self._settle(messages, lambda leases: {"nack": [{"lease": lease, "reason": reason} for lease in leases]})

    async def _settle(self, messages: Sequence[Message], body: Callable[[list[str]], dict[str, Any]]) -> list[Message]:
        left = {message.lease: message for message in messages}
        done: list[Message] = []
        while left:
            answer = await self._post("/v1/settle", body(list(left)), GRACE + GRACE)
            said = {row["lease"]: row["status"] for row in answer["results"]}
            done += [message for lease, message in left.items() if said.get(lease) in _DONE]
            # Their partition is moving: as likely as not it is settled, and sent again it does no harm.
            left = {lease: message for lease, message in left.items() if said.get(lease) == "retry"}
            if left:
                await asyncio.sleep(PAUSE)
        return done

    async def _post(self, path: str, body: dict[str, Any], within: float) -> dict[str, Any]:
        """The answer of the first worker that gives one.

        Raises:
            ValueError: the request is at fault, and would be anywhere.
        """
        while True:
            if self._at and monotonic() > self._back_at:
                self._at = 0
            asked = self.worker
            try:
                async with self._http.post(
                    asked + path, json=body, timeout=aiohttp.ClientTimeout(total=within)
                ) as answer:
                    if answer.status == 204:
                        return {}
                    if answer.status == 200:
                        found: dict[str, Any] = await answer.json()
                        return found
                    said = await answer.text()
                    if answer.status not in _ELSEWHERE:
                        raise ValueError(f"{asked}{path}: {answer.status} {said}")
                    if _MOVING not in said:
                        self._go_on(asked)
            except (aiohttp.ClientError, TimeoutError):
                self._go_on(asked)  # gone, or as good as gone
            await asyncio.sleep(PAUSE)

    def _go_on(self, asked: str) -> None:
        # Another request of this client may have found out sooner.
        if len(self._workers) > 1 and self.worker == asked:
            self._at = (self._at + 1) % len(self._workers)
            self._back_at = monotonic() + self._back_after
            self._moved(self, asked)


async def work(name: str, workers: Sequence[str]) -> None:
    async with aiohttp.ClientSession() as http:
        client = Client(http, name, workers)
        while True:
            for message in await client.pull():
                print(
                    f"{message.value!r} of partition {message.partition}, delivery {message.delivery_count}, "
                    f"from {client.worker}",
                    flush=True,
                )
                await client.ack([message])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--workers", default="127.0.0.1:6066", help="HOST:PORT, several joined by commas")
    args = parser.parse_args()
    try:
        asyncio.run(work(args.name, [f"http://{address}" for address in args.workers.split(",")]))
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
