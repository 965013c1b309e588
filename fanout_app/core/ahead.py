"""Messages that an earlier owner has handed out and that no fetch of ours has passed yet: which offsets these are."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from pyroaring import BitMap64

from fanout_app.core.lease import HandedOver
from fanout_app.core.ledger import PartitionLedger


class Ahead:
    """Offsets, lowest first. Some may have been settled since."""

    def __init__(self) -> None:
        self._heap: list[int] = []

    def __bool__(self) -> bool:
        return bool(self._heap)

    def add(self, offsets: Iterable[int]) -> None:
        for offset in offsets:
            heapq.heappush(self._heap, offset)

    def pass_by(self, after: int) -> list[int]:
        """Those below this, which are ahead no longer."""
        passed = []
        while self._heap and self._heap[0] < after:
            passed.append(heapq.heappop(self._heap))
        return passed


def still_out(handed_over: HandedOver, ledger: PartitionLedger) -> list[int]:
    """The offsets of this that are out or rest still, ascending.

    One that is settled is not, nor one whose next delivery is counted as another than this was: it has come back to an
    owner since. A run may span millions of offsets that do not exist; those are settled.
    """
    offsets = BitMap64()
    offsets.add_range(max(handed_over.first, ledger.floor), handed_over.first + handed_over.span)
    return [
        offset for offset in offsets - ledger.settled if ledger.delivery_count(offset) == handed_over.delivery_count
    ]
