"""The producer of ledger rows: idempotent, and never stuck after a row that Kafka has refused.

Without idempotence a request that timed out may be stored after its successor. But aiokafka counts the sequence number
of a batch when it first takes it up, and takes none back: behind one that the broker refuses (too large for the moment,
a right taken away), or that is given up unsent (its partition had no leader for longer than the request timeout), the
broker misses a number, and refuses every later row with OUT_OF_ORDER_SEQUENCE_NUMBER until the process ends.

So nothing is given up here that Kafka has not answered, and a refusal is followed by a new producer id, whose numbers
begin anew. What was refused is not in the log: nothing of the old id can come to lie above what the new one writes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.producer.transaction_manager import NO_PRODUCER_EPOCH, NO_PRODUCER_ID, PidAndEpoch
from faust.transport.drivers import aiokafka as driver

logger = logging.getLogger("fanout.kafka.ledger_producer")

_PAUSE = 0.5
#: Seconds.
_FLUSHED_WITHIN = 2.0


class LedgerProducer(driver.Producer):
    """Faust's producer, of which the ledger table is the only user."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    async def on_start(self) -> None:
        await super().on_start()
        producer = self._ensure_producer()
        producer._message_accumulator._batch_ttl = float("inf")
        sender = producer._sender
        ask_for_id = sender._do_init_pid

        async def ask_patiently(node_id: Any) -> bool:
            """An answer that is an error would end the sender, and with it every later write."""
            try:
                return bool(await ask_for_id(node_id))
            except KafkaError as error:
                logger.debug("no producer id yet: %r", error)
                await asyncio.sleep(_PAUSE)
                return False

        sender._do_init_pid = ask_patiently

    async def flush(self) -> None:
        """A recovery begins with this. It reads what is in the changelog; what is on its way to one partition, of which
        Kafka may take nothing for long, is no reason to begin none of the others.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_FLUSHED_WITHIN):
                await super().flush()

    async def send(self, *args: Any, **kwargs: Any) -> asyncio.Future[Any]:
        sent: asyncio.Future[Any] = await super().send(*args, **kwargs)
        sent.add_done_callback(self._answered)
        return sent

    def _answered(self, sent: asyncio.Future[Any]) -> None:
        if not sent.cancelled() and (error := sent.exception()) is not None and self._producer is not None:
            logger.debug("a row was refused, going on under a new producer id: %r", error)
            _forget_id(self._producer._txn_manager)


def _forget_id(transactions: Any) -> None:
    """The sender asks for another id before it takes up the next batch; what it has taken up keeps the old one."""
    if transactions.has_pid():
        transactions._pid_and_epoch = PidAndEpoch(NO_PRODUCER_ID, NO_PRODUCER_EPOCH)
        transactions._pid_waiter = asyncio.get_running_loop().create_future()
    transactions._sequence_numbers.clear()
