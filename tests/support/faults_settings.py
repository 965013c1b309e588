"""Faults of a worker that are another setting of Faust or another way to Kafka; as those of `support.faults`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiokafka.conn import AIOKafkaConnection

from fanout_app import faust_app


def wait_empty(report: object, _: str) -> None:
    """Faust's default: a worker stops when every event is acked."""
    _set("stream_wait_empty", True)


def producer_gives_up(report: object, seconds: str) -> None:
    """The producer gives up what it could not send after a while, which is 20 minutes as shipped."""
    _set("producer_request_timeout", float(seconds))


def _set(name: str, value: object) -> None:
    stock = vars(faust_app)["settings"]
    vars(faust_app)["settings"] = lambda *args: {**stock(*args), name: value}


def kafka_through(report: object, port: str) -> None:
    """Every connection to Kafka goes to this port of this machine instead: brokers say themselves where they are."""
    connect = AIOKafkaConnection.connect

    async def connect_there(self: Any) -> Any:
        self._port = int(port)
        return await connect(self)

    AIOKafkaConnection.connect = connect_there


SETTINGS_FAULTS: dict[str, Callable[[object, str], None]] = {
    "wait-empty": wait_empty,
    "producer-gives-up": producer_gives_up,
    "kafka-through": kafka_through,
}
