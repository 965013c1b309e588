"""Between frames and what they say of the queue: settles and their outcomes."""

from __future__ import annotations

from collections.abc import Container, Iterable

from fanout_app.cluster.frames import Nothing, RefFields, Settled, SettleDemand, SettleEntry
from fanout_app.core.requests import BatchRef, Empty, Entry, LeaseRef, Ref, Settle, SettleOutcome, Status


def fields_of(ref: Ref) -> RefFields:
    return tuple(ref)


def ref_of(fields: RefFields) -> Ref | None:
    """A lease has five fields, a batch two; of a newer version it may be something else."""
    if len(fields) == len(BatchRef._fields):
        return BatchRef._make(fields)
    return LeaseRef._make(fields) if len(fields) == len(LeaseRef._fields) else None


def settle_frame(number: int, settle: Settle) -> SettleDemand:
    """Of entries that all have been read."""
    return SettleDemand(
        number,
        extend=_entries(settle.extend),
        nack=_entries(settle.nack),
        reject=_entries(settle.reject),
        ack=_entries(settle.ack),
        durable=settle.durable,
    )


def _entries(entries: Iterable[Entry]) -> tuple[SettleEntry, ...]:
    return tuple(
        SettleEntry(entry.token, fields_of(entry.ref), entry.delay, entry.ack_wait, entry.reason)
        for entry in entries
        if entry.ref is not None
    )


def settle_of(frame: SettleDemand, here: Container[int]) -> tuple[Settle, tuple[int, ...]]:
    """What of it is of partitions that are here, and the partitions that are not."""
    elsewhere: set[int] = set()

    def known(entries: Iterable[SettleEntry]) -> list[Entry]:
        found = []
        for entry in entries:
            ref = ref_of(entry.ref)
            if ref is not None and ref.partition not in here:
                elsewhere.add(ref.partition)
                continue
            found.append(
                Entry(token=entry.token, ref=ref, delay=entry.delay, ack_wait=entry.ack_wait, reason=entry.reason)
            )
        return found

    settle = Settle(
        extend=known(frame.extend),
        nack=known(frame.nack),
        reject=known(frame.reject),
        ack=known(frame.ack),
        durable=frame.durable,
    )
    return settle, tuple(sorted(elsewhere))


def outcome_frame(number: int, outcome: SettleOutcome, not_here: tuple[int, ...]) -> Settled:
    results = tuple(
        (lease if isinstance(lease, str) else fields_of(lease), status.value) for lease, status in outcome.results
    )
    return Settled(number, outcome.acked, outcome.nacked, outcome.extended, outcome.rejected, results, not_here)


def add_outcome(total: SettleOutcome, frame: Settled) -> None:
    """Count what another worker has done in with the rest."""
    total.acked += frame.acked
    total.nacked += frame.nacked
    total.extended += frame.extended
    total.rejected += frame.rejected
    for lease, status in frame.results:
        total.results.append((lease if isinstance(lease, str) else LeaseRef._make(lease), _status_of(status)))


def _status_of(word: str) -> Status:
    """A worker of a newer version may know more of them: what came of the entry is not known here then."""
    try:
        return Status(word)
    except ValueError:
        return Status.RETRY


def reason_of(frame: Nothing) -> Empty:
    """The same for why there is nothing."""
    try:
        return Empty(frame.reason)
    except ValueError:
        return Empty.NO_MESSAGE
