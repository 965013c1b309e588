"""Connections to Kafka that break as connections do, also under uvloop.

A broker that is killed resets its connections. Until that has been worked off, uvloop raises RuntimeError at a write to
such a connection, where asyncio raises nothing. aiokafka expects an OSError there: to it, and to everybody who asks it
for something, this was an error that nobody knew, and it ended the worker in one of a few outages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError


def break_cleanly() -> None:
    """For every connection of this process. May be called again."""
    for name in ("send", "_send_sasl_token"):
        stock = getattr(AIOKafkaConnection, name)
        if not hasattr(stock, "breaks_cleanly"):
            setattr(AIOKafkaConnection, name, _breaking_cleanly(stock))


def _breaking_cleanly(stock: Callable[..., Any]) -> Callable[..., Any]:
    def send(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return stock(self, *args, **kwargs)
        except RuntimeError as error:
            where = f"{self.host}:{self.port}"
            self.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"connection at {where} broken: {error}") from error

    vars(send)["breaks_cleanly"] = True
    return send
