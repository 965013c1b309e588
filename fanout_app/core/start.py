"""Where a partition starts, from everything that remembers something about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from fanout_app.core.group_row import Slot
from fanout_app.core.ledger import LedgerSnapshot, PartitionLedger
from fanout_app.core.witness import Seen, Witness, judge


class Mirrored(NamedTuple):
    """Where a partition stands; compared as it reads, a higher era wins."""

    era: int
    floor: int
    #: That of the topic whose floor it is; empty where the broker gives none, and where an older version wrote it.
    topic_id: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of one partition when it is assigned; None where a source knows nothing."""

    #: The ledger rows joined.
    row: LedgerSnapshot | None
    #: The consumer group's offset.
    committed: int | None
    #: The era of which it was, where it was us who committed it; None where somebody else set it.
    committed_era: int | None
    #: As mirrored in ZooKeeper.
    mirror: Mirrored | None
    log_start: int
    #: The high watermark: transactions that are open still count.
    log_end: int
    #: Where a partition that nothing knows about begins.
    first_start: int
    #: The id of the topic as it is now; empty where the broker gives none.
    topic_id: bytes = b""
    #: What was found where witnesses of the row had been; those that nobody looked for are not in it.
    witnessed: Mapping[Witness, Seen] = field(default_factory=dict)


@dataclass(slots=True)
class Start:
    """The decision: the ledger to go on with, and what an operator should be told."""

    snapshot: LedgerSnapshot
    #: The start was not read from a row as it stands, so a row must be written before the first message is offered.
    write: bool
    #: The group's offset bears no mark of ours: one that does must take its place before the row is written. Seen
    #: again, by then below the floor, it would be taken for set once more.
    mark: bool = False
    lost: int = 0
    #: The floor lay beyond the end of the log.
    beyond_end: bool = False
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    #: Those of the groups with a ledger of their own, and slots that are free, by number.
    slots: Mapping[int, Slot] = field(default_factory=dict)


def decide(known: Known) -> Start:
    """The larger of ledger row and group offset, else the mirror, else the first start; then what the log still has.

    A group offset that bears no mark of ours was set by an operator's tool: below the floor it begins a new era, above
    it what lies between is skipped. Without the mark one that was set back to a recent floor would look like our own
    last commit.
    """
    start = _from_records(known)
    start.mark = known.committed is not None and known.committed_era is None
    verdict = judge(known.witnessed)
    start.beyond_end = start.snapshot.floor > known.log_end
    made_anew = _is_made_anew(known)
    if start.beyond_end or verdict.replaced or made_anew:
        _on_another_log(start, known, None if made_anew else verdict.same)
    elif start.snapshot.floor < known.log_start:
        ledger = PartitionLedger(start.snapshot)
        start.lost = ledger.unsettled_in(ledger.floor, known.log_start)
        ledger.settle_range(ledger.floor, known.log_start)
        start.snapshot = ledger.snapshot()
        start.write = True
        if start.lost:
            start.errors.append(
                f"{start.lost} messages below offset {known.log_start} were deleted by retention before anyone settled "
                "them"
            )
    row = known.row
    handed_over = row.handed_over if row is not None and row.era == start.snapshot.era else ()
    start.snapshot = replace(
        start.snapshot,
        committed=known.committed,
        handed_over=handed_over,
        topic_id=known.topic_id or start.snapshot.topic_id,
    )
    return start


def _is_made_anew(known: Known) -> bool:
    """Whether the row is of another topic of this name, for certain; no witness need have been below its floor."""
    return known.row is not None and _differ(known.row.topic_id, known.topic_id)


def _differ(before: bytes, now: bytes) -> bool:
    return bool(before and now and before != now)


def _on_another_log(start: Start, known: Known, same: Witness | None) -> None:
    """The floor belongs to a log that is gone, or of which only the beginning is left: begin a new era.

    Of a truncated log everything after the last record that is certainly the old one is read again. That repeats what
    lay between it and the truncation, but the log may have grown again since, and none of that may be skipped.
    """
    floor = start.snapshot.floor
    why = f"beyond the end of the log {known.log_end}" if start.beyond_end else "of another log than this one"
    if same is not None:
        # Not above the floor: an operator may have set that back below the truncation.
        begin = max(known.log_start, min(same.offset + 1, floor))
        what = f"the log was truncated, its records are the old ones up to {same.offset} for certain"
    else:
        begin = known.log_start
        what = "the topic was made anew or truncated"
    start.errors.append(f"the floor {floor} is {why}: {what}; starting a new era at {begin}")
    ledger = PartitionLedger(start.snapshot)
    ledger.begin_era(begin)
    start.snapshot = ledger.snapshot()
    start.write = True


def _from_records(known: Known) -> Start:
    row, committed, era = known.row, known.committed, known.committed_era
    if row is None or (era is not None and era > row.era and committed is not None):
        return _without_row(known)
    if committed is None:
        return Start(row, write=False)
    if era is None:
        return _set_by_operator(row, committed)
    if era == row.era and committed > row.floor:
        ledger = PartitionLedger(row)
        ledger.settle_range(row.floor, committed)
        remark = f"the changelog has lost rows: the group's offset is {committed}, the floor was {row.floor}"
        return Start(ledger.snapshot(), write=True, warnings=[remark])
    return Start(row, write=False)


def _without_row(known: Known) -> Start:
    """From the group's offset, else from the mirror: a mirrored floor of a higher era is that of a later seek.

    Both are floors that the changelog had acknowledged, so inside an era the larger one is right. An operator's offset
    begins an era above the mirrored one, else the mirror would keep a floor that he has set aside, and no new one.
    """
    warnings = []
    mirror = known.mirror
    if mirror is not None and _differ(mirror.topic_id, known.topic_id):
        return _without_row_of_this_topic(known, mirror)
    if known.committed is not None and known.committed_era is None:
        era, floor = mirror.era + 1 if mirror is not None else 0, known.committed
    elif known.committed is not None and known.committed_era is not None:
        ours = (known.committed_era, known.committed)
        era, floor = max(ours, mirror[:2] if mirror is not None else ours)
        if (era, floor) != ours:
            warnings.append(
                f"the changelog has lost its rows and the group's offset {ours[1]} (era {ours[0]}) is older than the "
                f"mirrored {floor} (era {era}): starting there"
            )
    elif mirror is not None:
        era, floor = mirror[:2]
        warnings.append(f"neither changelog nor group know an offset, starting at the mirrored {floor}")
    else:
        era, floor = 0, known.first_start
    return Start(LedgerSnapshot(era=era, floor=floor), write=True, warnings=warnings)


def _without_row_of_this_topic(known: Known, mirror: Mirrored) -> Start:
    """The mirrored floor is that of a topic that is gone; its era is one that the next must be above.

    The group's offset, if there is one, is of this topic: Kafka deletes offsets with the topic they are of.
    """
    era, floor = mirror.era + 1, known.log_start if known.committed is None else known.committed
    remark = f"the topic was made anew, the mirrored {mirror.floor} is of the one before: starting a new era at {floor}"
    return Start(LedgerSnapshot(era=era, floor=floor), write=True, warnings=[remark])


def _set_by_operator(row: LedgerSnapshot, committed: int) -> Start:
    """An offset that bears no mark of ours."""
    ledger = PartitionLedger(row)
    warnings = []
    if committed < row.floor:
        ledger.begin_era(committed)
        warnings.append(f"the group's offset was set back from {row.floor} to {committed}: a new era begins there")
    elif committed > row.floor:
        ledger.settle_range(row.floor, committed)
        warnings.append(
            f"the group's offset was set forward from {row.floor} to {committed}: what lies between is skipped"
        )
    return Start(ledger.snapshot(), write=bool(warnings), warnings=warnings)
