"""Clients for fanout: a Kafka topic as a work queue over HTTP.

`Client` is for asyncio; `fanout_client.sync.Client` is the same for threads.
"""

from fanout_client.client import Client
from fanout_client.consumer import Consumer
from fanout_client.errors import FanoutError, Nack, RefusedError, Reject, UnknownAddressError
from fanout_client.message import Message
from fanout_client.options import Options
from fanout_client.outcome import Batch

__all__ = [
    "Batch",
    "Client",
    "Consumer",
    "FanoutError",
    "Message",
    "Nack",
    "Options",
    "RefusedError",
    "Reject",
    "UnknownAddressError",
]
