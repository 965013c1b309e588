"""The messages of one partition that nobody has been handed yet, in the order of their offsets."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import attrgetter

from fanout_app.core.message import Message, size_of

_offset = attrgetter("offset")


class Fresh:
    """As a collection it is that of the messages, ascending by offset."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        #: No message is larger: while that many of it fit, nobody needs to weigh each of them.
        self._largest = 0
        #: Messages that failed with an earlier owner often enough to be handed out alone.
        self._suspects: set[int] = set()

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)

    def lowest(self) -> Message | None:
        """The message with the lowest offset."""
        return self._messages[0] if self._messages else None

    def add(self, messages: Sequence[Message]) -> int:
        """Add messages, each with a higher offset than all that are there; one at least.

        Returns:
            Their size in bytes.
        """
        sizes = list(map(size_of, messages))
        self._largest = max(self._largest if self._messages else 0, *sizes)
        self._messages.extend(messages)
        return sum(sizes)

    def suspect(self, offset: int) -> None:
        """The message of this offset is to be handed out alone."""
        self._suspects.add(offset)

    def take(self, limit: int, room: int, *, first: bool = True) -> list[Message]:
        """Up to ``limit`` messages of up to ``room`` bytes in all, in order of offset.

        Where these are the ``first`` ones of an answer, one is taken however large it is (nobody could ever take it
        otherwise), and one that is to be handed out alone is all that is taken.
        """
        messages = self._messages
        count = min(limit, len(messages))
        if count * self._largest > room:
            count = self._fitting(count, room) or int(first and count > 0)
        if self._suspects:
            count = self._up_to_suspect(count, first=first)
        return [messages.popleft() for _ in range(count)]

    def _fitting(self, count: int, room: int) -> int:
        fitting = 0
        for message in islice(self._messages, count):
            room -= size_of(message)
            if room < 0:
                break
            fitting += 1
        return fitting

    def _up_to_suspect(self, count: int, *, first: bool) -> int:
        for index, message in enumerate(islice(self._messages, count)):
            if message.offset in self._suspects:
                if index or not first:
                    return index
                self._suspects.discard(message.offset)
                return 1
        return count

    def discard(self, offset: int) -> Message | None:
        """Take this one out, if it is there."""
        messages = self._messages
        at = bisect_left(messages, offset, key=_offset)
        if at == len(messages) or messages[at].offset != offset:
            return None
        message = messages[at]
        del messages[at]
        self._suspects.discard(offset)
        return message
