"""The messages of one partition that nobody has been handed yet, in the order of their offsets, lane by lane.

Most come in that order. Those that come later than others with higher offsets (they had to wait for an earlier one of
their key) are taken at their own place all the same: who waits longest is not to be passed by others for ever.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from heapq import heappop, heappush, merge
from itertools import chain, islice
from operator import attrgetter

from fanout_app.core.lanes import BY_MESSAGE, Lane, Lanes
from fanout_app.core.message import Message, size_of

_offset = attrgetter("offset")


class Fresh:
    """As a collection it is that of the messages, ascending by offset."""

    def __init__(self, lanes: Lanes = BY_MESSAGE) -> None:
        self._rules = lanes
        #: None of them is empty.
        self._lanes: dict[Lane, deque[Message]] = {}
        #: Heaps by offset of what lies between the first and the last one of its lane; none is empty.
        self._between: dict[Lane, list[tuple[int, Message]]] = {}
        #: No message is larger: while that many of it fit, nobody needs to weigh each of them.
        self._largest = 0
        #: Messages that failed with an earlier owner often enough to be handed out alone.
        self._suspects: set[int] = set()

    def __len__(self) -> int:
        count = sum(map(len, self._lanes.values()))
        return count + sum(map(len, self._between.values())) if self._between else count

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def __iter__(self) -> Iterator[Message]:
        between = sorted((message for heap in self._between.values() for _, message in heap), key=_offset)
        return merge(*self._lanes.values(), between, key=_offset)

    @property
    def lanes(self) -> Collection[Lane]:
        """Those in which something waits."""
        return self._lanes.keys()

    def lowest(self) -> Message | None:
        """The message with the lowest offset."""
        between = (heap[0][1] for heap in self._between.values())
        return min(chain(between, (messages[0] for messages in self._lanes.values())), key=_offset, default=None)

    def add(self, messages: Sequence[Message]) -> int:
        """Add messages, each with a higher offset than all that are there; one at least.

        Returns:
            Their size in bytes.
        """
        sizes = list(map(size_of, messages))
        self._largest = max(self._largest if self._lanes else 0, *sizes)
        self._fill(messages)
        return sum(sizes)

    def insert(self, message: Message) -> None:
        """Add one that may have a lower offset than others that are there."""
        self._largest = max(self._largest if self._lanes else 0, size_of(message))
        lane = self._rules.of(message)
        messages = self._lanes.get(lane)
        if messages is None:
            self._lanes[lane] = deque((message,))
        elif message.offset > messages[-1].offset:
            messages.append(message)
        elif message.offset < messages[0].offset:
            messages.appendleft(message)
        else:
            heappush(self._between.setdefault(lane, []), (message.offset, message))

    def _fill(self, messages: Sequence[Message]) -> None:
        if not self._rules.by_key:
            self._lanes.setdefault(None, deque()).extend(messages)
            return
        for message in messages:
            self._lanes.setdefault(self._rules.of(message), deque()).append(message)

    def lay(self, lanes: Lanes) -> None:
        """Let messages wait in these lanes from now on."""
        if lanes.by_key or self._rules.by_key:
            between = (message for heap in self._between.values() for _, message in heap)
            messages = sorted(chain(between, *self._lanes.values()), key=_offset)
            self._rules = lanes
            self._lanes.clear()
            self._between.clear()
            if messages:
                self._fill(messages)
        self._rules = lanes

    def suspect(self, offset: int) -> None:
        """The message of this offset is to be handed out alone."""
        self._suspects.add(offset)

    def take(self, limit: int, room: int, *, lane: Lane = None, first: bool = True) -> list[Message]:
        """Up to ``limit`` messages of a lane, of up to ``room`` bytes in all, in order of offset.

        Where these are the ``first`` ones of an answer, one is taken however large it is (nobody could ever take it
        otherwise), and one that is to be handed out alone is all that is taken.
        """
        messages = self._lanes.get(lane)
        if messages is None:
            return []
        if lane in self._between:
            self._in_place(lane, messages, limit)
        count = min(limit, len(messages))
        if count * self._largest > room:
            count = _fitting(islice(messages, count), room) or int(first and count > 0)
        if self._suspects:
            count = self._up_to_suspect(messages, count, first=first)
        if count == len(messages):
            return list(self._lanes.pop(lane))
        return [messages.popleft() for _ in range(count)]

    def _in_place(self, lane: Lane, messages: deque[Message], limit: int) -> None:
        """Bring what belongs among the first ``limit`` messages of a lane to its place there."""
        heap = self._between[lane]
        first: list[Message] = []
        while heap and len(first) < limit:
            first.append(messages.popleft() if messages[0].offset < heap[0][0] else heappop(heap)[1])
        messages.extendleft(reversed(first))
        if not heap:
            del self._between[lane]

    def _up_to_suspect(self, messages: deque[Message], count: int, *, first: bool) -> int:
        for index, message in enumerate(islice(messages, count)):
            if message.offset in self._suspects:
                if index or not first:
                    return index
                self._suspects.discard(message.offset)
                return 1
        return count

    def discard(self, offset: int) -> Message | None:
        """Take this one out, if it is there."""
        for lane, messages in self._lanes.items():
            if lane in self._between:
                self._in_place(lane, messages, len(self))
            at = bisect_left(messages, offset, key=_offset)
            if at < len(messages) and messages[at].offset == offset:
                message = messages[at]
                del messages[at]
                if not messages:
                    del self._lanes[lane]
                self._suspects.discard(offset)
                return message
        return None


def _fitting(messages: Iterator[Message], room: int) -> int:
    fitting = 0
    for message in messages:
        room -= size_of(message)
        if room < 0:
            break
        fitting += 1
    return fitting
