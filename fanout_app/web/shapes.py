"""What answers hold, for the document that describes them (`fanout_app.web.openapi`); tests hold answers against it.

Nothing is made of these: the views answer with plain dictionaries, and with the structs of `fanout_app.web.answers`,
whose bytes are bytes in msgpack and base64 in JSON, which is described here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from fanout_app.web.schemas import GuardBody, StepBody

UnixMs = Annotated[int, Meta(description="Milliseconds since 1970, by the worker's wall clock: for reading only.")]
Base64 = Annotated[str | None, Meta(description="Base64, or text where `encoding` is utf8; null is not empty.")]
Lease = Annotated[str, Meta(description="A token of one lease, or of a batch.", max_length=120)]


class Answer(Struct, forbid_unknown_fields=True):
    """What all of them are."""


class Message(Answer):
    lease: Lease
    partition: int
    offset: int
    timestamp_unix_ms: int
    delivery_count: Annotated[int, Meta(ge=1)]
    lease_ends_unix_ms: UnixMs
    key: Base64
    value: Base64
    headers: list[tuple[str, Base64]]
    encoding: Literal["base64"] | UnsetType = UNSET


class Result(Answer):
    lease: str
    status: Literal["lease_unknown", "gone", "already_settled", "retry", "late", "lease_lost", "not_in_batch"]


class Settled(Answer):
    acked: int
    nacked: int
    extended: int
    rejected: int
    results: list[Result]


class Pulled(Answer):
    topic: str
    id: str
    client: str
    batch: str | None
    messages: list[Message]
    empty: Literal["no-message", "paused", "weight-zero", "client-limit", "buffer-full", "moving"] | UnsetType = UNSET
    settled: Settled | UnsetType = UNSET


class LeaseState(Answer):
    lease: str
    state: Literal["live", "ended", "settled"]
    partition: int
    offset: int
    delivery_count: int
    lease_ends_unix_ms: UnixMs | None
    time_left_ms: int


class LiveLease(Answer):
    lease: str
    partition: int
    offset: int
    client: str
    group: str
    delivery_count: int
    age_ms: int
    lease_ends_unix_ms: UnixMs
    time_left_ms: int


class Leases(Answer):
    leases: list[LiveLease]


class Client(Answer):
    client: str
    group: str
    in_flight: int
    waiting: int
    last_seen_unix_ms: UnixMs
    delivered: int
    acked: int
    nacked: int
    expired: int


class Clients(Answer):
    clients: list[Client]


class ParkedMessage(Answer):
    parked: int
    partition: int
    offset: int
    timestamp_unix_ms: int
    parked_unix_ms: UnixMs
    delivery_count: int
    reason: str
    client: str
    key: Base64
    value: Base64
    headers: list[tuple[str, Base64]]
    group: str | UnsetType = UNSET
    encoding: Literal["base64"] | UnsetType = UNSET


class Parked(Answer):
    messages: list[ParkedMessage]


class Redriven(Answer):
    redriven: int
    not_found: list[int]
    no_group: list[int] | UnsetType = UNSET


class Paused(Answer):
    paused: bool


class SoughtPartition(Answer):
    partition: int
    offset: int


class Sought(Answer):
    partitions: list[SoughtPartition]


class Window(Answer):
    seconds: float
    delivered: int
    acked: int
    nacked: int
    expired: int


class Group(Answer):
    weight: int
    share_wanted: float
    share_measured: float
    delivered: int
    acked: int
    nacked: int
    expired: int
    ack_p50_ms: float | None
    ack_p99_ms: float | None
    window: Window
    verdict: Literal["undecided", "good", "failing", "rolled-back", "promoted", "complete"] | None
    reason: str | None
    guard: GuardBody | None
    steps: list[StepBody]
    step: int | None
    local_hold: bool


class Canary(Answer):
    version: int
    by: Literal["message", "key"]
    weights: dict[str, int]
    groups: dict[str, Group]


class Status(Answer):
    id: str
    topic: str
    worker: str
    leader: str | None
    epoch: int | None
    generation: int
    ready: bool
    stopping: bool
    paused: bool
    insecure: bool
    lag: int
    waiting_messages: int
    buffered: int
    delayed: int
    in_flight: int
    buffered_bytes: int
    clients: int
    waiting_pulls: int
    workers: list[str]
    degraded: list[str]


class Partition(Answer):
    partition: int
    owner: str
    era: int
    floor: int
    #: None before the first commit.
    committed: int | None
    settled_above_floor: int
    buffered: int
    delayed: int
    in_flight: int
    oldest_age_seconds: float | None
    row_bytes: int
    full: str | None
    blocked: int
    next_offset: int
    log_start: int
    log_end: int


class Partitions(Answer):
    partitions: list[Partition]


class Worker(Answer):
    worker: str
    address: str
    partitions: list[int]
    generation: int
    waiting_messages: int
    waiting_pulls: int
    unheard_ms: int
    me: bool


class Workers(Answer):
    workers: list[Worker]


class Leader(Answer):
    worker: str | None
    address: str | None
    epoch: int | None
    me: bool
    acting: bool


class Healthy(Answer):
    healthy: bool


class Ready(Answer):
    ready: bool


class FieldFault(Answer):
    field: str
    detail: str


class Problem(Answer):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldFault] | UnsetType = UNSET
