"""The bodies of answers to pulls and settles: the hot path, so one struct a message and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from msgspec import UNSET, Raw, Struct, UnsetType

from fanout_app.core.lease import Answer, LeaseRun
from fanout_app.core.requests import Empty, LeaseRef, SettleOutcome, Status
from fanout_app.web.ports import Runtime
from fanout_app.web.tokens import TokenCodec

Text = bytes | str | None


class WireMessage(Struct, gc=False):
    """A message as it goes out. Bytes become base64 where the form has no bytes (JSON)."""

    lease: str
    partition: int
    offset: int
    timestamp_unix_ms: int
    delivery_count: int
    lease_ends_unix_ms: int
    key: Text
    value: Text
    headers: Sequence[tuple[str, Text]]
    encoding: str | UnsetType = UNSET


class Result(Struct, gc=False):
    lease: str
    status: str


class Settled(Struct):
    acked: int
    nacked: int
    extended: int
    rejected: int
    results: list[Result]


class PullAnswer(Struct):
    topic: str
    id: str
    client: str
    batch: str | None
    messages: list[WireMessage]
    empty: str | UnsetType = UNSET
    settled: Settled | Raw | UnsetType = UNSET


class Answers:
    """Makes the bodies. Knows whose topic and id it is and how tokens are written."""

    def __init__(self, runtime: Runtime, codec: TokenCodec) -> None:
        self._runtime = runtime
        self._codec = codec

    def pulled(self, answer: Answer, settled: Settled | Raw | UnsetType, *, utf8: bool) -> PullAnswer:
        """``settled`` is what came of the settle that came with the pull; raw: encoded already."""
        make = self._texts if utf8 else self._bytes
        messages: list[WireMessage] = []
        for run in answer.shown:
            messages += make(run)
        batch = self._codec.batch(answer)
        return PullAnswer(self._runtime.topic, self._runtime.id, answer.client, batch, messages, UNSET, settled)

    def nothing(self, client: str, empty: Empty, settled: Settled) -> PullAnswer:
        return PullAnswer(self._runtime.topic, self._runtime.id, client, None, [], empty.value, settled)

    def settled(self, outcome: SettleOutcome, unread: Iterable[str]) -> Settled:
        """``unread`` are the tokens that the core was not asked about."""
        results = [Result(self._token(lease), status.value) for lease, status in outcome.results]
        results += [Result(token, Status.RETRY.value) for token in unread]
        return Settled(outcome.acked, outcome.nacked, outcome.extended, outcome.rejected, results)

    def _token(self, lease: str | LeaseRef) -> str:
        return lease if isinstance(lease, str) else self._codec.lease(lease)

    def _bytes(self, run: LeaseRun) -> list[WireMessage]:
        partition, count, ends = run.partition, run.delivery_count, self._runtime.unix_ms(run.deadline)
        return [
            WireMessage(token, partition, m.offset, m.timestamp, count, ends, m.key, m.value, m.headers)
            for token, m in zip(self._codec.leases(run), run.messages, strict=True)
        ]

    def _texts(self, run: LeaseRun) -> list[WireMessage]:
        messages = self._bytes(run)
        for wire, message in zip(messages, run.messages, strict=True):
            as_text(wire, message)
        return messages


class Content(Protocol):
    """What of a message is bytes."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class WireContent(Protocol):
    """The same as it goes out."""

    key: Text
    value: Text
    headers: Sequence[tuple[str, Text]]
    encoding: str | UnsetType


def as_text(wire: WireContent, message: Content) -> None:
    """Turn bytes to text, all of a message or, where one of them is not UTF-8, nothing of it."""
    try:
        key, value = _text(message.key), _text(message.value)
        headers = [(name, _text(content)) for name, content in message.headers]
    except UnicodeDecodeError:
        wire.encoding = "base64"
    else:
        wire.key, wire.value, wire.headers = key, value, headers


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode()
