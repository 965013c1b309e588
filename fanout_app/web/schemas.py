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
#: How often a pull was redirected: `fanout_app.core.redirecting.MOST` at most.
RedirectCount = Annotated[int, Meta(ge=0, le=2)]
Reason = Annotated[str, Meta(max_length=4096)]
MaxBytes = Annotated[int, Meta(ge=1, le=16 << 20)]
Encoding = Literal["base64", "utf8"]
#: How many entries a list shows.
Limit = Annotated[int, Meta(ge=1, le=1000)]
DEFAULT_WAIT_MS: Final = 20_000
DEFAULT_MAX_BYTES: Final = 1 << 20
DEFAULT_LIMIT: Final = 100
#: Kafka's offsets and timestamps have 63 bits.
HIGHEST: Final = (1 << 63) - 1
Offset = Annotated[int, Meta(ge=0, le=HIGHEST)]


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
    #: Default: the one that the client's token is fixed to, else ``stable``.
    group: str | UnsetType = UNSET
    wait_ms: WaitMs = DEFAULT_WAIT_MS
    max_messages: Annotated[int, Meta(ge=1, le=1000)] = 1
    max_bytes: MaxBytes = DEFAULT_MAX_BYTES
    ack_wait_ms: AckWaitMs | UnsetType = UNSET
    encoding: Encoding = "base64"
    settle: SettleBody | UnsetType = UNSET
    receive_id: Annotated[str, Meta(min_length=1, max_length=64)] | UnsetType = UNSET
    #: It was sent before, and not answered.
    repeat: bool = False


class PullQuery(Struct, forbid_unknown_fields=True):
    """What stands in the address of a pull that was redirected."""

    redirects: RedirectCount = 0


class NextQuery(Struct, forbid_unknown_fields=True):
    """The query of /v1/next: what of a pull makes sense for one message."""

    client: str | UnsetType = UNSET
    #: Default: the one that the client's token is fixed to, else ``stable``.
    group: str | UnsetType = UNSET
    wait_ms: WaitMs = DEFAULT_WAIT_MS
    ack_wait_ms: AckWaitMs | UnsetType = UNSET
    redirects: RedirectCount = 0


class NoQuery(Struct, forbid_unknown_fields=True):
    """Where there is nothing to choose, neither in a query nor in a body."""


class NackQuery(Struct, forbid_unknown_fields=True):
    delay_ms: DelayMs | UnsetType = UNSET
    reason: Reason = ""


class ExtendQuery(Struct, forbid_unknown_fields=True):
    ack_wait_ms: AckWaitMs | UnsetType = UNSET


class RejectQuery(Struct, forbid_unknown_fields=True):
    reason: Reason = ""


class LeasesQuery(Struct, forbid_unknown_fields=True):
    min_age_ms: Annotated[int, Meta(ge=0, le=HIGHEST)] = 0
    limit: Limit = DEFAULT_LIMIT


class ParkedQuery(Struct, forbid_unknown_fields=True):
    limit: Limit = DEFAULT_LIMIT
    #: The last name of the page before; -1 is before the first.
    after: Annotated[int, Meta(ge=-1, le=HIGHEST)] = -1
    max_bytes: MaxBytes = DEFAULT_MAX_BYTES
    encoding: Encoding = "base64"


class RedriveBody(Struct, forbid_unknown_fields=True):
    """One of the two, see `fanout_app.web.views_parked`: either all or those named."""

    parked: Annotated[list[Offset], Meta(min_length=1, max_length=MAX_ENTRIES)] | UnsetType = UNSET
    all: bool = False


class SeekTime(Struct, forbid_unknown_fields=True):
    timestamp_unix_ms: Offset


class SeekBody(Struct, forbid_unknown_fields=True):
    to: Literal["earliest", "latest"] | Offset | SeekTime
    partition: Annotated[int, Meta(ge=0, le=(1 << 31) - 1)] | UnsetType = UNSET
    force: bool = False


Weight = Annotated[int, Meta(ge=0, le=1_000_000)]
#: An hour at most: what is kept of it is in memory.
WindowMs = Annotated[int, Meta(ge=1000, le=3_600_000)]
HoldMs = Annotated[int, Meta(ge=0, le=30 * 86_400_000)]
Ratio = Annotated[float, Meta(ge=0, le=1)]
#: So many times as much.
Times = Annotated[float, Meta(ge=1, le=1_000_000)]


class GuardBody(Struct, forbid_unknown_fields=True):
    """Its defaults are those of `fanout_app.core.canary.Guard`; a limit that is null is none."""

    window_ms: WindowMs | UnsetType = UNSET
    min_samples: Annotated[int, Meta(ge=1, le=1_000_000)] | UnsetType = UNSET
    max_failure_ratio: Ratio | UnsetType | None = UNSET
    max_ratio_over_stable: Times | UnsetType | None = UNSET
    max_p99_over_stable: Times | UnsetType | None = UNSET


class StepBody(Struct, forbid_unknown_fields=True):
    weight: Weight
    hold_ms: HoldMs


class CanaryBody(Struct, forbid_unknown_fields=True):
    """All that is to hold; what is left out has its default."""

    weights: dict[str, Weight] | UnsetType = UNSET
    by: Literal["message", "key"] = "message"
    group: str | None = None
    guard: GuardBody | None = None
    steps: Annotated[list[StepBody], Meta(max_length=100)] = []


class GroupBody(Struct, forbid_unknown_fields=True):
    #: None: the only one beside ``stable``.
    group: str | None = None
