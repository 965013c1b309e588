"""Redelivery: how long a failed message rests, and who may have it next.

A message goes to another client than the one that failed it as long as one can take it. Only when nobody else can, and
a while has passed, does the one that failed it get it again: it may be all there is. What a canary has failed goes next
to a client of the baseline, as long as that is served.

A client that let a lease end stands back from what others failed, for a while, and then as long as one waits that may
have it and has done nothing of the kind. Clients that ack are at work most of the time, and those that are dead always
wait: a message would go from one of these to the next, a lease each time.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from fanout_app.core.lanes import Lane, Lanes
from fanout_app.core.message import Message, size_of

_offset = attrgetter("offset")


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential, with jitter: nothing after the first failure, then ``first`` seconds, doubling up to ``longest``."""

    first: float = 0.1
    longest: float = 60.0
    #: How much of a delay jitter may take off, 0 to 1.
    jitter_share: float = 0.5

    def delay(self, delivery_count: int, jitter: float) -> float:
        """Seconds to wait after this delivery failed; ``jitter`` in [0, 1) says how much of its share is taken off."""
        if delivery_count <= 1:
            return 0.0
        full = min(self.longest, self.first * 2.0 ** min(delivery_count - 2, 64))
        return float(full * (1.0 - jitter * self.jitter_share))


@dataclass(slots=True)
class Returned:
    """A message ready for its next delivery. ``barred`` is the client that failed it, if one did."""

    message: Message
    barred: str | None
    #: Until then the barred client does not get it even if nobody else waits.
    barred_until: float
    #: That of the client which failed it; empty if nobody did.
    group: str = ""

    @property
    def free_at(self) -> float:
        """From when on clients in doubt may have it."""
        return self.barred_until if self.barred is not None else float("-inf")


class Delayed(NamedTuple):
    """A message that is handed out again when its delay is over."""

    message: Message
    #: The client that failed it, and that one's group.
    failed_by: str
    group: str
    due: float


class Spent(NamedTuple):
    """A message that nobody is to have again, until it is where such messages go; then it is settled."""

    partition: int
    era: int
    message: Message
    delivery_count: int
    reason: str
    #: Who had it last; empty if that is not known any more.
    client: str


@dataclass(slots=True)
class _Bars:
    """How many messages one client is barred from, and a time before which none of them is free for it."""

    count: int
    earliest: float


class _Heap:
    """Messages that the same clients may have, lowest offset first."""

    def __init__(self) -> None:
        self._entries: dict[int, Returned] = {}
        #: Every offset of ``_entries``, and some that were taken out since.
        self._heap: list[int] = []
        #: By client. One that failed a thousand messages and asks for more must not look at each of them every time.
        self._bars: dict[str, _Bars] = {}
        #: None of what clients failed is free before this for one that is in doubt.
        self._earliest = float("inf")

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Returned]:
        return iter(self._entries.values())

    def __getitem__(self, offset: int) -> Returned:
        return self._entries[offset]

    def add(self, entry: Returned) -> None:
        offset = entry.message.offset
        self._entries[offset] = entry
        heapq.heappush(self._heap, offset)
        self._earliest = min(self._earliest, entry.free_at)
        if entry.barred is not None:
            bars = self._bars.get(entry.barred)
            if bars is None:
                self._bars[entry.barred] = _Bars(1, entry.barred_until)
            else:
                bars.count += 1
                bars.earliest = min(bars.earliest, entry.barred_until)

    def take_out(self, offset: int) -> Message:
        entry = self._entries.pop(offset)
        if entry.barred is not None:
            bars = self._bars[entry.barred]
            bars.count -= 1
            if not bars.count:
                del self._bars[entry.barred]
        return entry.message

    def take(
        self,
        client: str,
        now: float,
        limit: int,
        room: int,
        *,
        first: bool,
        others_wait: bool,
        alone: Callable[[int], bool],
        in_doubt: bool,
        only_of: str | None,
    ) -> list[Message]:
        """See `Returns.take`."""
        taken: list[Message] = []
        if (in_doubt and now < self._earliest) or (only_of is not None and only_of not in self._bars):
            return taken
        skipped: list[int] = []
        bars = self._bars.get(client)
        while self._heap and len(taken) < limit:
            if bars is not None and bars.count == len(self._entries) and (others_wait or now < bars.earliest):
                break
            offset = heapq.heappop(self._heap)
            entry = self._entries.get(offset)
            if entry is None:
                continue
            if entry.barred == client and (others_wait or now < entry.barred_until):
                skipped.append(offset)
                continue
            if (in_doubt and now < entry.free_at) or (only_of is not None and entry.barred != only_of):
                skipped.append(offset)
                continue
            room -= size_of(entry.message)
            by_itself = alone(offset)
            if (room < 0 or by_itself) and (taken or not first):
                skipped.append(offset)
                break
            taken.append(self.take_out(offset))
            if by_itself:
                break
        else:
            if skipped and not self._heap:
                # All were looked at: these times are known exactly again.
                if bars is not None:
                    bars.earliest = min(self._entries[offset].barred_until for offset in skipped)
                if in_doubt:
                    self._earliest = min(self._entries[offset].free_at for offset in skipped)
        for offset in skipped:
            heapq.heappush(self._heap, offset)
        return taken


class Returns:
    """Messages to be delivered again, lowest offset first in a lane. As a collection it is that of their offsets."""

    def __init__(self) -> None:
        #: None of them is empty.
        self._heaps: dict[Lane, _Heap] = {}
        self._lane_of: dict[int, Lane] = {}

    def __len__(self) -> int:
        return len(self._lane_of)

    def __contains__(self, offset: object) -> bool:
        return offset in self._lane_of

    def __iter__(self) -> Iterator[int]:
        return iter(self._lane_of)

    @property
    def lanes(self) -> Collection[Lane]:
        """Those in which something waits."""
        return self._heaps.keys()

    def get(self, offset: int) -> Returned | None:
        return self._heaps[self._lane_of[offset]][offset] if offset in self._lane_of else None

    def add(self, entry: Returned, lane: Lane = None) -> None:
        self._lane_of[entry.message.offset] = lane
        heap = self._heaps.get(lane)
        if heap is None:
            heap = self._heaps[lane] = _Heap()
        heap.add(entry)

    def lay(self, lanes: Lanes) -> None:
        """Let messages wait in these lanes from now on."""
        entries = [entry for heap in self._heaps.values() for entry in heap]
        self._heaps.clear()
        for entry in entries:
            self.add(entry, lanes.of_failed(entry.message, entry.group))

    def discard(self, offset: int) -> Message | None:
        """Take this one out, if it is there."""
        if offset not in self._lane_of:
            return None
        lane = self._lane_of.pop(offset)
        message = self._heaps[lane].take_out(offset)
        if not self._heaps[lane]:
            del self._heaps[lane]
        return message

    def take(
        self,
        client: str,
        now: float,
        limit: int,
        room: int,
        *,
        lanes: Collection[Lane] = (None,),
        first: bool = True,
        others_wait: bool = False,
        alone: Callable[[int], bool] = lambda offset: False,
        in_doubt: bool = False,
        only_of: str | None = None,
    ) -> list[Message]:
        """Up to ``limit`` messages of up to ``room`` bytes in all that this client may have, ascending by offset.

        They come from these lanes, first those of the first one. Where they are the ``first`` ones of an answer, one is
        taken however large it is, and one that is to be handed out ``alone`` is all that is taken. ``others_wait`` says
        that another client could take what this one is barred from. For one that is ``in_doubt`` what others failed
        waits a while, as it does for the one that failed it, and ``only_of`` is the client that comes first in
        everything but what it is barred from itself.
        """
        taken: list[Message] = []
        for lane in lanes:
            heap = self._heaps.get(lane)
            if heap is None or len(taken) == limit or (taken and alone(taken[0].offset)):
                continue
            more = heap.take(
                client,
                now,
                limit - len(taken),
                room,
                first=first,
                others_wait=others_wait,
                alone=alone,
                in_doubt=in_doubt,
                only_of=only_of,
            )
            for message in more:
                del self._lane_of[message.offset]
            if not heap:
                del self._heaps[lane]
            taken += more
            room -= sum(map(size_of, more))
            first = first and not taken
        # One run of leases is looked up by offset.
        return sorted(taken, key=_offset)
