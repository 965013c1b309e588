"""Where the groups of a partition start that have a ledger of their own in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fanout_app.core.group_row import Slot
from fanout_app.core.ledger import LedgerSnapshot, PartitionLedger
from fanout_app.core.start import Known, Start


def start_groups(start: Start, known: Known, slots: Mapping[int, Slot]) -> dict[int, Slot]:
    """What was decided of the partition holds of each group too: a new era, and what is to be passed over.

    The floor in the partition's row alone passes nothing over: a late owner may have written it, by floors of groups
    that are lower here. An offset that we have committed does: nobody but the owner can have, and it was the lowest.
    """
    base = start.snapshot
    passed = base.floor if known.row is None or base.floor > known.row.floor else 0
    if known.committed is not None and known.committed_era == base.era:
        passed = max(passed, known.committed)
    tenure = max([base.tenure, *(slot.ledger.tenure for slot in slots.values())])
    start.snapshot = replace(base, tenure=tenure)
    return {number: slot._replace(ledger=_ledger(slot, base, passed, tenure)) for number, slot in slots.items()}


def _ledger(slot: Slot, base: LedgerSnapshot, passed: int, tenure: int) -> LedgerSnapshot:
    if not slot.group:
        return slot.ledger
    ledger = PartitionLedger(slot.ledger)
    same_era = ledger.era == base.era
    if same_era:
        ledger.settle_range(0, passed)
        # Where the partition's row has offsets above its floor they were settled in a time of balance, for everybody.
        ledger.settle(sorted(base.settled))
    else:
        # Sought, or of another log: the partition's row is written first, so this group's was not written any more.
        ledger.begin_era(base.floor)
        ledger.era = base.era
    return replace(
        ledger.snapshot(),
        tenure=tenure,
        topic_id=base.topic_id,
        committed=base.committed,
        handed_over=slot.ledger.handed_over if same_era else (),
    )
