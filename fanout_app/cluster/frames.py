"""What workers say to each other, as values.

Fields are only ever added at the end and with a default, and a frame whose tag is not known is passed over: workers of
two versions may be connected. Numbers of demands and questions are the asking worker's own.
"""

from __future__ import annotations

import msgspec

#: partition, era, offset, delivery count, batch: a lease. partition, batch: a whole answer.
RefFields = tuple[int, ...]


class _Frame(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Every frame begins with its tag."""


class Wish(_Frame, frozen=True):
    """How the answer to a pull is to look."""

    #: One of `FORMS`.
    form: str = "json"
    #: Text where it is text, instead of base64.
    utf8: bool = False
    #: What the settle that came with the pull has come to, encoded in that form; empty if none came.
    settled: bytes = b""
    #: Only for `next`: the client has not given its name, so it is told which it was given.
    tell_client: bool = False


#: A pull's answer in JSON or msgpack, or one message for curl.
FORMS = ("json", "msgpack", "next")


class Demand(_Frame, tag="demand", frozen=True):
    """A client of the asking worker waits for messages."""

    number: int
    client: str
    group: str
    max_messages: int
    max_bytes: int
    #: Seconds.
    ack_wait: float
    anonymous: bool
    #: Until it is served or ended; False: it is answered at once, with nothing if there is nothing.
    waits: bool
    wish: Wish
    #: The client's name for the pull.
    receive_id: str = ""
    #: Only what a pull of this name was answered with.
    again: bool = False


class EndDemand(_Frame, tag="end", frozen=True):
    """The client waits no longer. Answered by `Nothing`, unless the demand was answered before this arrived."""

    number: int


class Handed(_Frame, tag="handed", frozen=True):
    """Messages for a demand, on loan until `Confirm`: the finished answer."""

    number: int
    messages: int
    headers: tuple[tuple[str, str], ...]
    #: None for a message without a value.
    body: bytes | None
    #: Seconds until the last of its leases ends.
    lasts: float


class Nothing(_Frame, tag="nothing", frozen=True):
    """There is nothing for a demand, which is over; the reason is one of `fanout_app.core.requests.Empty`."""

    number: int
    reason: str


class Hold(_Frame, tag="hold", frozen=True):
    """The answer is being written to the client still: leave it on loan."""

    number: int


class Confirm(_Frame, tag="confirm", frozen=True):
    """The answer is with the client."""

    number: int


class GiveBack(_Frame, tag="back", frozen=True):
    """The answer did not reach the client: the messages are the next one's."""

    number: int


class SettleEntry(_Frame, frozen=True):
    """One line of a settle body."""

    token: str
    ref: RefFields
    delay: float | None = None
    ack_wait: float = 30.0
    reason: str = ""


class SettleDemand(_Frame, tag="settle", frozen=True):
    """Settle these; they are thought to be of partitions of the worker asked."""

    number: int
    extend: tuple[SettleEntry, ...]
    nack: tuple[SettleEntry, ...]
    reject: tuple[SettleEntry, ...]
    ack: tuple[SettleEntry, ...]
    durable: bool


class Settled(_Frame, tag="settled", frozen=True):
    """The outcome of a `SettleDemand`: counts in messages, and what was not plainly done, by token or by lease."""

    number: int
    acked: int
    nacked: int
    extended: int
    rejected: int
    results: tuple[tuple[str | RefFields, str], ...]
    #: Partitions of which nothing was tried, since they are not the worker's.
    not_here: tuple[int, ...]


class State(_Frame, tag="state", frozen=True):
    """What a worker has."""

    partitions: tuple[int, ...]
    #: Of the consumer group, in which it was given them.
    generation: int
    #: Messages that nobody has been handed.
    waiting: int
    #: The groups of which clients are alive there.
    groups: tuple[str, ...] = ()


class Question(_Frame, tag="ask", frozen=True):
    """Something that is asked of every worker for an answer over all of them; see `fanout_app.cluster.gathering`."""

    number: int
    what: str
    #: msgpack.
    how: bytes


class Reply(_Frame, tag="told", frozen=True):
    """The answer to a `Question`."""

    number: int
    #: msgpack; of no meaning where there is an error.
    what: bytes
    #: The kind of an error, and its text; empty where there is none.
    error: str = ""
    text: str = ""


Frame = (
    Demand
    | EndDemand
    | Handed
    | Nothing
    | Hold
    | Confirm
    | GiveBack
    | SettleDemand
    | Settled
    | State
    | Question
    | Reply
)
