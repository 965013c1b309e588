"""A small service in two releases: it books orders. The new one has a fault that only orders in dollars bring out.

.venv/bin/python -m examples.canary.service NAME --release v1|v2 --group GROUP --workers HOST:PORT,HOST:PORT

For every order that it has tried it prints a line of JSON, so that the story can tell what became of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp

from examples.client import Client, Message

#: Seconds that it takes to book an order.
WORK = 0.005
#: Orders that one instance asks for at a time.
MOST = 10

Order = dict[str, Any]


def book_v1(order: Order) -> str:
    return f"{order['number']}: {order['amount']} {order['currency']}"


def book_v2(order: Order) -> str:
    """Books in euros, whatever the order is in."""
    rates = {"EUR": 1.0}
    return f"{order['number']}: {order['amount'] * rates[order['currency']]:.2f} EUR"


RELEASES: Mapping[str, Callable[[Order], str]] = {"v1": book_v1, "v2": book_v2}


async def serve(name: str, release: str, group: str, workers: Sequence[str]) -> None:
    book = RELEASES[release]
    async with aiohttp.ClientSession() as http:
        client = Client(http, name, workers, group=group)
        while True:
            booked: list[Message] = []
            for message in await client.pull(most=MOST, wait=5.0):
                order = json.loads(message.value or "")
                await asyncio.sleep(WORK)
                try:
                    book(order)
                except KeyError as error:
                    _say(order, "failed")
                    await client.nack([message], f"no rate for {error}")
                else:
                    booked.append(message)
            for message in await client.ack(booked):
                _say(json.loads(message.value or ""), "booked")


def _say(order: Order, outcome: str) -> None:
    print(json.dumps({"order": order["number"], "outcome": outcome}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--release", choices=RELEASES, required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--workers", required=True, help="HOST:PORT, several joined by commas")
    args = parser.parse_args()
    addresses = [f"http://{address}" for address in args.workers.split(",")]
    try:
        asyncio.run(serve(args.name, args.release, args.group, addresses))
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
