"""What is settled here, and not known to be at the cluster: it is sent until an answer says what became of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from fanout_client.outcome import Batch
from fanout_client.wire import MOST_ENTRIES, RETRY, Settle, Settled

logger = logging.getLogger("fanout_client")

_LEASE_LOST: Final = "lease_lost"
#: Of a message that the token of its batch does not stand for any more.
_NOT_IN_BATCH: Final = "not_in_batch"
_DONE: Final = frozenset({"late", "already_settled"})


class Unsettled:
    """Sending an entry twice does no harm: what was settled already is answered so, and needs nothing more."""

    def __init__(self) -> None:
        #: By token, in the order in which they came.
        self._entries: dict[str, Settle] = {}
        #: The leases that a token of a batch stands for.
        self._leases: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, settle: Settle, batch: Batch | None = None) -> None:
        """``batch`` is the one that the settle is of, where its token is among what it acks."""
        for token in settle.ack:
            self._entries[token] = Settle(ack=[token])
        for nack in settle.nack:
            self._entries[nack.lease] = Settle(nack=[nack])
        for extend in settle.extend:
            self._entries[extend.lease] = Settle(extend=[extend])
        for reject in settle.reject:
            self._entries[reject.lease] = Settle(reject=[reject])
        if batch is not None and batch.token in settle.ack:
            self._leases[batch.token] = [message.lease for message in batch]

    def to_send(self) -> Settle:
        """As much of it as goes into one request."""
        settle = Settle()
        # The token of a batch comes after what is said otherwise of its messages, as it has to.
        for token in list(self._entries)[:MOST_ENTRIES]:
            settle.add(self._entries[token])
        return settle

    def answered(self, sent: Settle, settled: Settled) -> None:
        """A worker has answered to what `to_send` gave."""
        tokens = sent.leases()
        statuses = {result.lease: result.status for result in settled.results}
        for token in tokens:
            status = statuses.pop(token, None)
            if status == _NOT_IN_BATCH:
                status = None  # nacked or rejected by itself, in the same request
            if status != RETRY:
                entry = self._entries.pop(token, None)
                leases = self._leases.pop(token, [])
                if status == _LEASE_LOST and leases:
                    # Only the worker that gave a batch knows what it is of, and its partition has moved.
                    self._ack(lease for lease in leases if lease not in tokens)
                elif status is not None and status not in _DONE and entry is not None:
                    logger.warning("%s: %s", _what(entry), status)
        # What is left are messages of batches whose leases had ended: acks of these count all the same.
        self._ack(lease for lease, status in statuses.items() if status == _NOT_IN_BATCH and lease not in self._entries)

    def _ack(self, leases: Iterable[str]) -> None:
        self._entries.update({lease: Settle(ack=[lease]) for lease in leases})


def _what(entry: Settle) -> str:
    kind = "ack" if entry.ack else "nack" if entry.nack else "extend" if entry.extend else "reject"
    return f"this {kind} of a message counts for nothing"
