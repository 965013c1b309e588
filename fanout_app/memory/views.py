"""Putting messages into the topic over HTTP, which with Kafka is for Kafka's own clients."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final, Literal

from aiohttp import web
from aiokafka.partitioner import DefaultPartitioner
from msgspec import UNSET, Meta, Struct, UnsetType

from fanout_app.memory.topic import MemoryTopic
from fanout_app.web.codecs import JSON, asked_in, form_of
from fanout_app.web.handlers import read_body, refuse_query
from fanout_app.web.problems import Fault, invalid
from fanout_app.web.schemas import MAX_ENTRIES, Encoding, Offset
from fanout_app.web.validation import Body

#: Name and value.
Header = tuple[str, str | None]


class ProduceMessage(Struct, forbid_unknown_fields=True):
    value: str | None = None
    key: str | None = None
    headers: list[Header] = []
    #: Default: by the key, as Kafka's clients choose it; without a key one after the other.
    partition: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    #: Default: now.
    timestamp_unix_ms: Offset | UnsetType = UNSET
    encoding: Encoding = "utf8"


class ProduceBody(Struct, forbid_unknown_fields=True):
    messages: Annotated[list[ProduceMessage], Meta(min_length=1, max_length=MAX_ENTRIES)]


_PRODUCE: Final = Body(ProduceBody)


class ProduceViews:
    """``POST /v1/produce``."""

    def __init__(self, topic: MemoryTopic) -> None:
        self._topic = topic
        self._partitions = list(range(len(topic.logs)))
        self._by_key = DefaultPartitioner()
        self._next = 0

    async def produce(self, request: web.Request) -> web.StreamResponse:
        """All of the messages, or none where one of them cannot be."""
        form = form_of(request)
        refuse_query(request)
        if asked_in(request) is not JSON:
            raise invalid([Fault("body", "send JSON here")])
        body: ProduceBody = _PRODUCE.decode(await read_body(request), JSON)
        faults: list[Fault] = []
        read = [self._read(message, f"messages[{at}]", faults) for at, message in enumerate(body.messages)]
        if faults:
            raise invalid(faults)
        rows = []
        for message, (key, value, headers) in zip(body.messages, read, strict=True):
            partition = self._partition(message, key)
            timestamp = None if isinstance(message.timestamp_unix_ms, UnsetType) else message.timestamp_unix_ms
            offset = self._topic.append(partition, key, value, headers, timestamp)
            rows.append({"partition": partition, "offset": offset})
        return form.response({"messages": rows})

    def _read(
        self, message: ProduceMessage, at: str, faults: list[Fault]
    ) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]:
        if not isinstance(message.partition, UnsetType) and message.partition >= len(self._partitions):
            faults.append(Fault(f"{at}.partition", f"expected 0 to {len(self._partitions) - 1}"))
        encoding = message.encoding
        key = _bytes(message.key, encoding, f"{at}.key", faults)
        value = _bytes(message.value, encoding, f"{at}.value", faults)
        headers = [(name, _bytes(text, encoding, f"{at}.headers", faults)) for name, text in message.headers]
        return key, value, headers

    def _partition(self, message: ProduceMessage, key: bytes | None) -> int:
        if not isinstance(message.partition, UnsetType):
            return message.partition
        if key is not None:
            return int(self._by_key(key, self._partitions, self._partitions))
        self._next += 1
        return (self._next - 1) % len(self._partitions)


def _bytes(text: str | None, encoding: Literal["base64", "utf8"], at: str, faults: list[Fault]) -> bytes | None:
    if text is None:
        return None
    if encoding == "utf8":
        return text.encode(errors="surrogatepass")
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        faults.append(Fault(at, "is no base64"))
        return None
