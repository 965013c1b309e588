"""The handler that uses the client for asyncio."""

from __future__ import annotations

import asyncio

from fanout_client import Batch, Client, Message, Nack, Reject
from support.handlers.script import Script, arguments


async def handle(message: Message) -> None:
    script = Script(message)
    script.begin()
    await asyncio.sleep(script.seconds)
    script.end()


async def handle_all(batch: Batch) -> None:
    for message in batch:
        try:
            await handle(message)
        except Reject as reject:
            batch.reject(message, reject.reason)
        except Nack as nack:
            batch.nack(message, nack.reason, delay=nack.delay)
        except ValueError as error:
            batch.nack(message, str(error))


async def main() -> None:
    args = arguments()
    client = Client(*args.workers.split(","), name=args.name, token=args.token or None, ack_wait=args.ack_wait)
    async with client:
        if args.batch > 1:
            await client.work_batches(handle_all, size=args.batch, concurrency=args.concurrency)
        else:
            await client.work(handle, concurrency=args.concurrency)


if __name__ == "__main__":
    asyncio.run(main())
