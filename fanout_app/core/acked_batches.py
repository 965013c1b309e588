"""Batches that were acked whole: a client whose answer was lost on the way sends its ack again."""

from __future__ import annotations

from collections import OrderedDict

from fanout_app.core.lease import Answer

_REMEMBERED = 10_000


class AckedBatches:
    """The latest of one worker, each with the partitions of which it was."""

    def __init__(self) -> None:
        self._partitions: OrderedDict[int, tuple[int, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._partitions)

    def add(self, answer: Answer) -> None:
        self._partitions[answer.batch] = tuple({run.partition for run in answer.runs})
        if len(self._partitions) > _REMEMBERED:
            self._partitions.popitem(last=False)

    def partitions_of(self, batch: int) -> tuple[int, ...]:
        """The same ack is answered when all of these are in the changelog; none: that batch is not known."""
        return self._partitions.get(batch, ())

    def drop(self, partition: int) -> None:
        """It is somebody else's. What was settled there may not have reached the changelog: the next ledger decides."""
        for batch in [batch for batch, numbers in self._partitions.items() if partition in numbers]:
            del self._partitions[batch]
