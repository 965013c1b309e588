"""Requests to workers and their answers, as bytes: nothing here does any I/O.

Bodies are msgpack, in which keys and values are what they are in Kafka. What an answer means for the request (done,
somewhere else, once more, never) is decided in `judge`, once for all clients.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urljoin

import msgspec
from msgspec import UNSET, UnsetType

from fanout_client.addresses import origin
from fanout_client.errors import RefusedError
from fanout_client.message import Message

#: Entries of a list in one settle (`docs/api.md`, Settle).
MOST_ENTRIES: Final = 1000
#: Seconds that an answer may take on top of what a pull waits (`docs/api.md`, Errors), with as much again for the way.
GRACE: Final = 10.0
#: Of an entry of a settle: whether it counts is not known, it is to be sent again.
RETRY: Final = "retry"

_MSGPACK: Final = "application/msgpack"
_MOVING: Final = "urn:fanout:problem:moving"


class NackEntry(msgspec.Struct, omit_defaults=True):
    lease: str
    delay_ms: int | UnsetType = UNSET
    reason: str = ""


class ExtendEntry(msgspec.Struct, omit_defaults=True):
    lease: str
    ack_wait_ms: int | UnsetType = UNSET


class RejectEntry(msgspec.Struct, omit_defaults=True):
    lease: str
    reason: str = ""


class Settle(msgspec.Struct, omit_defaults=True):
    """What is to be settled: the body of ``/v1/settle``, and the field of a pull."""

    ack: list[str] = []
    nack: list[NackEntry] = []
    extend: list[ExtendEntry] = []
    reject: list[RejectEntry] = []
    durable: bool = True

    def __bool__(self) -> bool:
        return bool(self.ack or self.nack or self.extend or self.reject)

    def __len__(self) -> int:
        return len(self.ack) + len(self.nack) + len(self.extend) + len(self.reject)

    def leases(self) -> set[str]:
        """The tokens that it is about."""
        nacked, extended, rejected = (
            {one.lease for one in self.nack},
            {one.lease for one in self.extend},
            {one.lease for one in self.reject},
        )
        return {*self.ack} | nacked | extended | rejected

    def add(self, other: Settle) -> None:
        self.ack += other.ack
        self.nack += other.nack
        self.extend += other.extend
        self.reject += other.reject


class Result(msgspec.Struct, frozen=True):
    """What became of an entry that was not plainly done."""

    lease: str
    status: str


class Settled(msgspec.Struct, frozen=True):
    """What became of a settle; counts are of messages."""

    acked: int = 0
    nacked: int = 0
    extended: int = 0
    rejected: int = 0
    results: tuple[Result, ...] = ()


class PullRequest(msgspec.Struct, omit_defaults=True):
    """The body of ``/v1/pull``."""

    client: str
    receive_id: str
    max_messages: int
    wait_ms: int
    ack_wait_ms: int
    group: str | UnsetType = UNSET
    max_bytes: int | UnsetType = UNSET
    repeat: bool = False
    settle: Settle | UnsetType = UNSET


class Pulled(msgspec.Struct, frozen=True):
    """The answer to a pull."""

    topic: str = ""
    id: str = ""
    client: str = ""
    #: A token for all of the messages together.
    batch: str | None = None
    messages: tuple[Message, ...] = ()
    settled: Settled | None = None
    #: Why there is no message.
    empty: str | None = None


NOTHING: Final = Pulled()

_encode: Final = msgspec.msgpack.Encoder().encode
_read_pulled: Final = msgspec.msgpack.Decoder(Pulled).decode
_read_settled: Final = msgspec.msgpack.Decoder(Settled).decode


@dataclass(frozen=True)
class Request:
    """What to send, and how long its answer may take."""

    method: str
    path: str
    body: bytes = b""
    #: Seconds.
    timeout: float = GRACE
    headers: Mapping[str, str] = field(default_factory=dict)


_HEADERS: Final = {"Content-Type": _MSGPACK, "Accept": _MSGPACK}


def pull(body: PullRequest) -> Request:
    return Request("POST", "/v1/pull", _encode(body), body.wait_ms / 1000 + GRACE, _HEADERS)


def settle(body: Settle) -> Request:
    return Request("POST", "/v1/settle", _encode(body), GRACE, _HEADERS)


def pulled(status: int, body: bytes) -> Pulled:
    return NOTHING if status == 204 else _read_pulled(body)


def settled(status: int, body: bytes) -> Settled:
    return Settled() if status == 204 else _read_settled(body)


@dataclass(frozen=True)
class Done:
    """This is the answer."""

    status: int
    body: bytes


@dataclass(frozen=True)
class Elsewhere:
    """Ask at this address, which a worker has named."""

    url: str


@dataclass(frozen=True)
class Again:
    """Ask again, after so many seconds at least; ``moving``: it would be the same at any other worker."""

    after: float
    moving: bool
    why: str


def judge(asked: str, status: int, header: Callable[[str], str | None], body: bytes) -> Done | Elsewhere | Again:
    """What the answer of the worker at ``asked`` means.

    Raises:
        RefusedError: it would be answered the same wherever and whenever it is asked.
    """
    if status in (200, 204):
        return Done(status, body)
    if status == 307:
        return Elsewhere(urljoin(asked, header("Location") or ""))
    problem = _problem(body)
    detail = str(problem.get("detail") or problem.get("title") or f"answered {status}")
    if status in (408, 429) or status >= 500:
        return Again(_seconds(header("Retry-After")), problem.get("type") == _MOVING, f"{origin(asked)}: {detail}")
    faults = [(str(fault.get("field")), str(fault.get("detail"))) for fault in problem.get("errors") or ()]
    raise RefusedError(status, str(problem.get("type") or "about:blank"), detail, faults)


def _problem(body: bytes) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}  # not of a worker: a proxy's page, say


def _seconds(retry_after: str | None) -> float:
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else 0.0
