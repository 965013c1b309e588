"""What requests may say: the fields of `docs/api.md` with their ranges and defaults (that of ack wait is an option)."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

MAX_ENTRIES: Final = 1000

#: Any length: a token that is too long is an unknown lease, and spoils no other entry of its list.
Token = str
WaitMs = Annotated[int, Meta(ge=0, le=50_000)]
AckWaitMs = Annotated[int, Meta(ge=50, le=43_200_000)]
DelayMs = Annotated[int, Meta(ge=0, le=86_400_000)]
Reason = Annotated[str, Meta(max_length=4096)]
DEFAULT_WAIT_MS: Final = 20_000


class NackEntry(Struct, forbid_unknown_fields=True, gc=False):
    lease: Token
    delay_ms: DelayMs | UnsetType = UNSET
    reason: Reason = ""


class ExtendEntry(Struct, forbid_unknown_fields=True, gc=False):
    lease: Token
    ack_wait_ms: AckWaitMs | UnsetType = UNSET


class RejectEntry(Struct, forbid_unknown_fields=True, gc=False):
    lease: Token
    reason: Reason = ""


class SettleBody(Struct, forbid_unknown_fields=True):
    ack: Annotated[list[Token], Meta(max_length=MAX_ENTRIES)] = []
    nack: Annotated[list[NackEntry], Meta(max_length=MAX_ENTRIES)] = []
    extend: Annotated[list[ExtendEntry], Meta(max_length=MAX_ENTRIES)] = []
    reject: Annotated[list[RejectEntry], Meta(max_length=MAX_ENTRIES)] = []
    durable: bool = True


class PullBody(Struct, forbid_unknown_fields=True):
    client: str | UnsetType = UNSET
    group: str = "stable"
    wait_ms: WaitMs = DEFAULT_WAIT_MS
    max_messages: Annotated[int, Meta(ge=1, le=1000)] = 1
    max_bytes: Annotated[int, Meta(ge=1, le=16 << 20)] = 1 << 20
    ack_wait_ms: AckWaitMs | UnsetType = UNSET
    encoding: Literal["base64", "utf8"] = "base64"
    settle: SettleBody | UnsetType = UNSET


class NextQuery(Struct, forbid_unknown_fields=True):
    """The query of /v1/next: what of a pull makes sense for one message."""

    client: str | UnsetType = UNSET
    group: str = "stable"
    wait_ms: WaitMs = DEFAULT_WAIT_MS
    ack_wait_ms: AckWaitMs | UnsetType = UNSET


class NoQuery(Struct, forbid_unknown_fields=True):
    """Where there is nothing to choose."""


class NackQuery(Struct, forbid_unknown_fields=True):
    delay_ms: DelayMs | UnsetType = UNSET
    reason: Reason = ""


class ExtendQuery(Struct, forbid_unknown_fields=True):
    ack_wait_ms: AckWaitMs | UnsetType = UNSET


class RejectQuery(Struct, forbid_unknown_fields=True):
    reason: Reason = ""
