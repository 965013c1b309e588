"""Producers of transactions, started also where a cluster names no broker at the moment.

The only broker of a cluster does that until it is let in again after a pause. A client that was made of such an answer
learns of the broker later, but aiokafka does not wait for that with the question for who coordinates transactions.
"""

from __future__ import annotations

import secrets
from typing import Any

from aiokafka import AIOKafkaProducer

from support.eventually import eventually


async def start_transactional(brokers: str) -> Any:
    """One with an id of its own. Whoever asks for it stops it."""

    async def start() -> Any:
        producer = AIOKafkaProducer(
            bootstrap_servers=brokers, acks="all", transactional_id=f"tests-{secrets.token_hex(4)}"
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    # What it fails with is an AssertionError.
    return await eventually(start)
