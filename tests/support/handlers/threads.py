"""The handler that uses the client for threads."""

from __future__ import annotations

import time

from fanout_client import Batch, Message, Nack, Reject
from fanout_client.sync import Client
from support.handlers.script import Script, arguments


def handle(message: Message) -> None:
    script = Script(message)
    script.begin()
    time.sleep(script.seconds)
    script.end()


def handle_all(batch: Batch) -> None:
    for message in batch:
        try:
            handle(message)
        except Reject as reject:
            batch.reject(message, reject.reason)
        except Nack as nack:
            batch.nack(message, nack.reason, delay=nack.delay)
        except ValueError as error:
            batch.nack(message, str(error))


def main() -> None:
    args = arguments()
    client = Client(*args.workers.split(","), name=args.name, token=args.token or None, ack_wait=args.ack_wait)
    with client:
        if args.batch > 1:
            client.work_batches(handle_all, size=args.batch, concurrency=args.concurrency)
        else:
            client.work(handle, concurrency=args.concurrency)


if __name__ == "__main__":
    main()
