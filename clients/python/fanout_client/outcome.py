"""What a handler has made of its messages, as entries of a settle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, overload

from msgspec import UNSET

from fanout_client.errors import Nack, Reject
from fanout_client.message import Message
from fanout_client.wire import ExtendEntry, NackEntry, RejectEntry, Settle

#: Characters (`docs/api.md`, Settle).
_LONGEST_REASON: Final = 4096


def outcome(message: Message, error: BaseException | None) -> Settle:
    """What becomes of a message whose handler has ended so."""
    match error:
        case None:
            return acked([message])
        case Reject(reason=reason):
            return rejected([message], reason)
        case Nack(reason=reason, delay=delay):
            return nacked([message], reason, delay)
        case _:
            return nacked([message], f"{type(error).__name__}: {error}", None)


def given_back(messages: Iterable[Message], reason: str) -> Settle:
    """They were not worked on: others have them at once."""
    return nacked(messages, reason, 0.0)


def acked(messages: Iterable[Message]) -> Settle:
    return Settle(ack=[message.lease for message in messages])


def nacked(messages: Iterable[Message], reason: str, delay: float | None) -> Settle:
    delay_ms = UNSET if delay is None else round(delay * 1000)
    return Settle(nack=[NackEntry(message.lease, delay_ms, reason[:_LONGEST_REASON]) for message in messages])


def rejected(messages: Iterable[Message], reason: str) -> Settle:
    return Settle(reject=[RejectEntry(message.lease, reason[:_LONGEST_REASON]) for message in messages])


def extended(leases: Iterable[str], ack_wait: float) -> Settle:
    return Settle(extend=[ExtendEntry(lease, round(ack_wait * 1000)) for lease in leases])


class Batch(Sequence[Message]):
    """Messages that were given together. What its handler does not say otherwise of is acked when it returns."""

    def __init__(self, token: str | None, messages: Sequence[Message]) -> None:
        """``token`` stands for all of them."""
        self.token = token
        self._messages = messages
        self._otherwise: dict[str, Settle] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | Sequence[Message]:
        return self._messages[index]

    def nack(self, message: Message, reason: str = "", *, delay: float | None = None) -> None:
        """It is for another client, after ``delay`` seconds (None: the cluster's backoff)."""
        self._otherwise[message.lease] = outcome(message, Nack(reason, delay=delay))

    def reject(self, message: Message, reason: str = "") -> None:
        """Nobody shall get it again: it goes to the dead-letter topic, or is parked."""
        self._otherwise[message.lease] = outcome(message, Reject(reason))

    def settle(self, error: BaseException | None = None) -> Settle:
        """What becomes of them when the handler has ended so."""
        settle = Settle()
        for otherwise in self._otherwise.values():
            settle.add(otherwise)
        if error is None and self.token is not None:
            settle.ack.append(self.token)
            return settle
        for message in self._messages:
            if message.lease not in self._otherwise:
                settle.add(outcome(message, error))
        return settle
