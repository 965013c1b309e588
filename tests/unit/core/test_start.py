"""Where a partition starts: every memory that may know something, and what the log still has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from fanout_app.core.lease import HandedOver
from fanout_app.core.ledger import LedgerSnapshot, PartitionLedger
from fanout_app.core.start import Known, Mirrored, Start, decide
from fanout_app.core.witness import Seen, Witness


def start(
    *,
    row: LedgerSnapshot | None = None,
    committed: int | None = None,
    committed_era: int | None = 0,
    mirror: Mirrored | None = None,
    log_start: int = 0,
    log_end: int = 1000,
    first_start: int = 0,
    topic_id: bytes = b"",
    witnessed: Mapping[Witness, Seen] | None = None,
) -> Start:
    return decide(
        Known(
            row=row,
            committed=committed,
            committed_era=committed_era if committed is not None else None,
            mirror=mirror,
            log_start=log_start,
            log_end=log_end,
            first_start=first_start,
            topic_id=topic_id,
            witnessed=witnessed or {},
        )
    )


def row(floor: int, *settled: int, committed: int | None = None, era: int = 0) -> LedgerSnapshot:
    return LedgerSnapshot(era=era, floor=floor, settled=frozenset(settled), committed=committed)


def told(decided: Start) -> tuple[int, int]:
    """How many warnings and errors there are."""
    return len(decided.warnings), len(decided.errors)


def test_a_partition_that_nothing_knows_begins_at_the_first_start_and_writes_that_down() -> None:
    decided = start(first_start=70)
    assert decided.snapshot.floor == 70
    assert decided.write, "started again before any ack it must begin here, not at what latest is then"
    assert told(decided) == (0, 0)


def test_a_row_is_taken_as_it_stands() -> None:
    decided = start(row=row(10, 12, 15), committed=10, first_start=999)
    assert (decided.snapshot.floor, set(decided.snapshot.settled)) == (10, {12, 15})
    assert not decided.write


def test_a_row_counts_although_the_group_has_forgotten_its_offset() -> None:
    assert start(row=row(10, 12)).snapshot.floor == 10


def test_a_floor_that_the_group_has_forgotten_is_committed_again() -> None:
    """Kafka drops the offsets of a group that was away for `offsets.retention.minutes`."""
    assert start(row=row(10, committed=10)).snapshot.committed is None


def test_the_groups_offset_counts_where_there_is_no_row() -> None:
    decided = start(committed=40, mirror=Mirrored(0, 20))
    assert decided.snapshot.floor == 40
    assert decided.write


def test_the_mirror_counts_where_neither_row_nor_group_know_anything() -> None:
    decided = start(mirror=Mirrored(3, 20), first_start=0)
    assert (decided.snapshot.era, decided.snapshot.floor) == (3, 20)
    assert decided.write
    assert told(decided) == (1, 0)


def test_the_group_knows_nothing_of_a_seek_that_only_the_mirror_has_seen() -> None:
    decided = start(committed=900, committed_era=2, mirror=Mirrored(3, 20))
    assert (decided.snapshot.era, decided.snapshot.floor, told(decided)) == (3, 20, (1, 0))
    decided = start(committed=900, committed_era=3, mirror=Mirrored(2, 950))
    assert (decided.snapshot.era, decided.snapshot.floor, told(decided)) == (3, 900, (0, 0))


def test_an_operators_offset_is_of_an_era_above_the_mirrored_one_which_could_not_follow_it_otherwise() -> None:
    decided = start(committed=5, committed_era=None, mirror=Mirrored(3, 20))
    assert (decided.snapshot.era, decided.snapshot.floor) == (4, 5)


@pytest.mark.parametrize(
    ("committed", "committed_era", "floor"),
    [(None, None, 5), (40, None, 40), (40, 1, 40)],
    ids=["unknown to the group", "set by an operator", "committed by a worker that did not see the mirror"],
)
def test_a_mirrored_floor_of_another_topic_of_this_name_says_nothing_but_which_era_is_taken(
    committed: int | None, committed_era: int | None, floor: int
) -> None:
    decided = start(
        mirror=Mirrored(3, 20, b"the one before"),
        topic_id=b"this one",
        committed=committed,
        committed_era=committed_era,
        log_start=5,
        first_start=30,
    )
    assert (decided.snapshot.era, decided.snapshot.floor) == (4, floor)
    assert decided.snapshot.topic_id == b"this one"
    assert decided.write
    assert told(decided) == (1, 0)


@pytest.mark.parametrize("ids", [(b"this one", b"this one"), (b"", b"this one"), (b"this one", b"")])
def test_a_mirrored_floor_of_this_topic_and_one_of_which_nobody_knows_are_believed(ids: tuple[bytes, bytes]) -> None:
    decided = start(mirror=Mirrored(3, 20, ids[0]), topic_id=ids[1])
    assert (decided.snapshot.era, decided.snapshot.floor) == (3, 20)


def test_a_floor_that_lags_behind_the_row_is_no_reset() -> None:
    decided = start(row=row(50, committed=40), committed=45)
    assert (decided.snapshot.era, decided.snapshot.floor) == (0, 50)
    assert told(decided) == (0, 0)


def test_an_offset_set_back_by_an_operator_begins_an_era_there() -> None:
    decided = start(row=row(50, 60, committed=50, era=2), committed=30, committed_era=None)
    assert (decided.snapshot.era, decided.snapshot.floor) == (3, 30)
    assert not decided.snapshot.settled, "what was settled comes again: that is what was asked for"
    assert decided.write
    assert told(decided) == (1, 0)


@pytest.mark.parametrize("known", [None, 20, 30])
def test_an_offset_set_back_by_an_operator_is_told_from_our_own_although_no_row_knows_our_last(
    known: int | None,
) -> None:
    """The last commit of a worker comes after its last row."""
    before = row(50, committed=known)
    decided = start(row=before, committed=30, committed_era=None)
    assert (decided.snapshot.era, decided.snapshot.floor, told(decided)) == (1, 30, (1, 0))
    again = start(row=decided.snapshot, committed=30, committed_era=None)
    assert (again.snapshot.era, again.snapshot.floor, told(again)) == (1, 30, (0, 0))
    ours = start(row=before, committed=30, committed_era=0)
    assert (ours.snapshot.era, ours.snapshot.floor, told(ours)) == (0, 50, (0, 0))


def test_an_offset_set_forward_by_an_operator_skips_what_lies_between() -> None:
    decided = start(row=row(50, 60, 80, committed=50), committed=70, committed_era=None)
    assert (decided.snapshot.era, decided.snapshot.floor) == (0, 70)
    assert set(decided.snapshot.settled) == {80}
    assert told(decided) == (1, 0)
    again = start(row=decided.snapshot, committed=70, committed_era=None)
    assert (again.snapshot, told(again)) == (decided.snapshot, (0, 0))


def test_a_commit_of_ours_above_the_floor_means_that_rows_were_lost() -> None:
    decided = start(row=row(50, 60, 80, committed=50, era=2), committed=70, committed_era=2)
    assert (decided.snapshot.era, decided.snapshot.floor, set(decided.snapshot.settled)) == (2, 70, {80})
    assert "lost rows" in decided.warnings[0]


def test_a_commit_of_an_older_era_that_came_late_does_not_undo_a_seek_back() -> None:
    decided = start(row=row(20, committed=70, era=3), committed=75, committed_era=2)
    assert (decided.snapshot.era, decided.snapshot.floor, told(decided)) == (3, 20, (0, 0))


def test_a_commit_of_a_later_era_than_all_rows_is_where_it_goes_on() -> None:
    decided = start(row=row(90, committed=70, era=3), committed=30, committed_era=4)
    assert (decided.snapshot.era, decided.snapshot.floor, decided.write) == (4, 30, True)
    assert start(committed=30, committed_era=4).snapshot.era == 4


@pytest.mark.parametrize("width", [400, 50_000_000])
def test_what_retention_deleted_is_counted_and_passed_whatever_its_width(width: int) -> None:
    decided = start(row=row(100, 103, committed=100), committed=100, log_start=100 + width, log_end=100 + width + 10)
    assert decided.snapshot.floor == 100 + width
    assert decided.lost == width - 1, "103 was settled, so it is not lost"
    assert decided.write
    assert told(decided) == (0, 1)


def test_retention_is_noticed_without_a_row_too() -> None:
    decided = start(committed=100, log_start=500, log_end=510)
    assert (decided.snapshot.floor, decided.lost, told(decided)) == (500, 400, (0, 1))


def test_a_floor_beyond_the_log_means_the_topic_was_made_anew() -> None:
    decided = start(row=row(100, 105, committed=100, era=1), committed=100, log_start=0, log_end=7)
    assert decided.beyond_end
    assert (decided.snapshot.era, decided.snapshot.floor, decided.snapshot.committed) == (2, 0, 100)
    assert decided.write
    assert told(decided) == (0, 1)


def test_a_floor_at_the_end_of_the_log_is_an_ordinary_one() -> None:
    decided = start(row=row(100, committed=100), committed=100, log_end=100)
    assert not decided.beyond_end
    assert decided.snapshot.floor == 100


def test_the_decided_snapshot_makes_a_ledger_with_that_floor() -> None:
    assert PartitionLedger(start(row=row(10, 10, 11), committed=10).snapshot).floor == 12


def test_what_retention_deleted_after_it_was_settled_is_nothing_to_report() -> None:
    """Rows joined: the floor is that of one, what lies on it was settled in the other."""
    decided = start(row=row(5, *range(5, 20)), log_start=10)
    assert (decided.lost, decided.snapshot.floor, told(decided)) == (0, 20, (0, 0))


def test_the_offset_of_a_log_that_is_gone_skips_nothing_of_the_new_one() -> None:
    """Started anew before the first commit of the new era, when the new log has outgrown the old offset."""
    first = start(row=row(100, committed=100), committed=100, log_end=7).snapshot
    again = start(row=first, committed=100, log_end=500)
    assert (again.snapshot.era, again.snapshot.floor) == (first.era, 0)
    assert told(again) == (0, 0)


@pytest.mark.parametrize(("before", "committed", "floor"), [(None, 40, 40), (row(50), 50, 50), (row(50), 30, 30),
                                                           (row(50), 70, 70), (row(2000), 2000, 0)])  # fmt: skip
def test_an_offset_without_our_mark_is_replaced_by_one_with_it(
    before: LedgerSnapshot | None, committed: int, floor: int
) -> None:
    """Left there it would be taken for set once more as soon as the floor has passed it."""
    decided = start(row=before, committed=committed, committed_era=None)
    assert (decided.snapshot.floor, decided.mark) == (floor, True)
    assert not start(row=before, committed=committed, committed_era=0).mark


@pytest.mark.parametrize("before", [row(50, 60, committed=30), None])
def test_killed_between_that_commit_and_its_row_the_next_start_decides_the_same(before: LedgerSnapshot | None) -> None:
    first = start(row=before, committed=30, committed_era=None).snapshot
    again = start(row=before, committed=first.floor, committed_era=first.era)
    assert (again.snapshot.era, again.snapshot.floor, set(again.snapshot.settled)) == (
        first.era,
        30,
        set(first.settled),
    )
    assert again.write


def witnessed(**seen: Seen) -> dict[Witness, Seen]:
    """``at20=Seen.SAME``: what is found where the witness of offset 20 was."""
    return {Witness(int(name.removeprefix("at")), 0, 0): each for name, each in seen.items()}


class TestWitnesses:
    """What was found where records below the floor had been."""

    ROW = row(100, 105, committed=100, era=1)

    def test_one_that_stands_where_it_was_changes_nothing(self) -> None:
        decided = start(row=self.ROW, committed=100, witnessed=witnessed(at90=Seen.SAME, at20=Seen.ABSENT))
        assert (decided.snapshot.era, decided.snapshot.floor, set(decided.snapshot.settled)) == (1, 100, {105})
        assert (decided.write, told(decided)) == (False, (0, 0))

    def test_a_topic_made_anew_that_has_outgrown_the_floor_is_read_from_its_beginning(self) -> None:
        decided = start(row=self.ROW, committed=100, log_start=3, log_end=500, witnessed=witnessed(at90=Seen.OTHER))
        assert (decided.snapshot.era, decided.snapshot.floor, set(decided.snapshot.settled)) == (2, 3, set())
        assert decided.snapshot.committed == 100, "the group's offset of the log that is gone is no operator's reset"
        assert (decided.write, decided.beyond_end, told(decided)) == (True, False, (0, 1))
        again = start(row=decided.snapshot, committed=100, log_start=3, log_end=500)
        assert (again.snapshot.era, again.snapshot.floor) == (2, 3)

    def test_a_truncated_log_is_read_on_after_the_last_record_that_is_the_old_one(self) -> None:
        seen = witnessed(at20=Seen.SAME, at60=Seen.SAME, at80=Seen.ABSENT, at90=Seen.OTHER, at95=Seen.SAME)
        decided = start(row=self.ROW, committed=100, log_end=500, witnessed=seen)
        assert (decided.snapshot.era, decided.snapshot.floor) == (2, 61)
        assert told(decided) == (0, 1)

    def test_a_truncated_log_that_is_shorter_than_the_floor(self) -> None:
        decided = start(row=self.ROW, committed=100, log_end=70, witnessed=witnessed(at60=Seen.SAME, at90=Seen.ABSENT))
        assert decided.beyond_end
        assert (decided.snapshot.era, decided.snapshot.floor) == (2, 61)

    def test_what_stands_is_below_what_the_log_still_has(self) -> None:
        seen = witnessed(at60=Seen.SAME, at90=Seen.OTHER)
        decided = start(row=self.ROW, committed=100, log_start=70, log_end=500, witnessed=seen)
        assert decided.snapshot.floor == 70

    @pytest.mark.parametrize("log_end", [100, 500])
    def test_compaction_took_all_witnesses(self, log_end: int) -> None:
        seen = witnessed(at60=Seen.ABSENT, at90=Seen.ABSENT)
        decided = start(row=self.ROW, committed=100, log_end=log_end, witnessed=seen)
        assert (decided.snapshot.era, decided.snapshot.floor, told(decided)) == (1, 100, (0, 0))

    def test_a_floor_beyond_the_end_without_any_witness_left(self) -> None:
        decided = start(row=self.ROW, committed=100, log_start=5, log_end=70, witnessed=witnessed(at60=Seen.ABSENT))
        assert (decided.snapshot.era, decided.snapshot.floor, told(decided)) == (2, 5, (0, 1))

    def test_retention_past_the_floor_took_the_witnesses_too(self) -> None:
        seen = witnessed(at60=Seen.ABSENT, at90=Seen.ABSENT)
        decided = start(row=self.ROW, committed=100, log_start=300, log_end=500, witnessed=seen)
        assert (decided.snapshot.era, decided.snapshot.floor, decided.lost) == (1, 300, 199)
        assert told(decided) == (0, 1)

    def test_an_operators_reset_of_the_same_log_is_only_that(self) -> None:
        decided = start(
            row=self.ROW, committed=30, committed_era=None, witnessed=witnessed(at20=Seen.SAME, at90=Seen.SAME)
        )
        assert (decided.snapshot.era, decided.snapshot.floor, told(decided)) == (2, 30, (1, 0))

    def test_an_operators_reset_below_a_truncation_is_where_reading_begins(self) -> None:
        """The records up to 60 are the old ones, but those from 30 on were asked for again."""
        seen = witnessed(at20=Seen.SAME, at60=Seen.SAME, at90=Seen.OTHER)
        decided = start(row=self.ROW, committed=30, committed_era=None, log_end=500, witnessed=seen)
        assert decided.snapshot.floor == 30
        assert decided.snapshot.era > 1
        again = start(row=decided.snapshot, committed=30, committed_era=None, log_end=500, witnessed=seen)
        assert (again.snapshot.floor, told(again)[0]) == (30, 0), "the reset is not taken for a second one"

    def test_an_operators_reset_above_a_truncation_skips_nothing_of_what_is_new(self) -> None:
        seen = witnessed(at20=Seen.SAME, at90=Seen.OTHER)
        decided = start(row=self.ROW, committed=30, committed_era=None, log_end=500, witnessed=seen)
        assert decided.snapshot.floor == 21

    def test_witnesses_above_the_new_floor_are_forgotten(self) -> None:
        witnesses = tuple(witnessed(at20=Seen.SAME, at60=Seen.SAME, at90=Seen.OTHER))
        known = LedgerSnapshot(era=1, floor=100, committed=100, witnesses=witnesses)
        seen = witnessed(at20=Seen.SAME, at60=Seen.SAME, at90=Seen.OTHER)
        decided = start(row=known, committed=100, log_end=500, witnessed=seen)
        assert [witness.offset for witness in decided.snapshot.witnesses] == [20, 60]


HELD = HandedOver(first=20, span=3, left=9.0, client="A", batch=1)


@pytest.mark.parametrize(
    "decided",
    [
        start(row=replace(row(10), handed_over=(HELD,)), committed=10),
        start(row=replace(row(10), handed_over=(HELD,)), committed=10, log_start=15),
        start(row=replace(row(10), handed_over=(HELD,)), committed=12, committed_era=None),
        start(row=replace(row(10), handed_over=(HELD,)), committed=12, committed_era=0),
    ],
    ids=["as it stands", "retention", "set forward", "rows lost"],
)
def test_what_the_last_owner_hands_over_is_taken_over_as_long_as_the_era_goes_on(decided: Start) -> None:
    assert decided.snapshot.handed_over == (HELD,)


@pytest.mark.parametrize(
    "decided",
    [
        start(row=replace(row(10), handed_over=(HELD,)), committed=4, committed_era=None),
        start(row=replace(row(10), handed_over=(HELD,)), committed=10, log_end=5),
        start(row=replace(row(10), handed_over=(HELD,)), committed=3, committed_era=1),
    ],
    ids=["set back", "another log", "another era in the group"],
)
def test_a_new_era_takes_nothing_over(decided: Start) -> None:
    assert decided.snapshot.handed_over == ()


class TestTopicIds:
    """The topic of a row is known by its id, where the broker gives one."""

    HELD = (HandedOver(first=3, span=1, left=60.0, client="a", delivery_count=1, batch=7),)
    ROW = LedgerSnapshot(era=2, floor=0, settled=frozenset({1, 2}), handed_over=HELD, topic_id=b"one")

    def test_a_topic_made_anew_is_known_without_any_witness(self) -> None:
        decided = start(row=self.ROW, log_start=0, log_end=50, topic_id=b"another")
        assert (decided.snapshot.era, decided.snapshot.floor, set(decided.snapshot.settled)) == (3, 0, set())
        assert decided.snapshot.handed_over == (), "nobody holds anything of the new log"
        assert decided.snapshot.topic_id == b"another"
        assert decided.write
        assert told(decided) == (0, 1)

    def test_no_witness_says_that_it_was_only_truncated(self) -> None:
        row = replace(self.ROW, floor=100)
        decided = start(row=row, log_end=500, topic_id=b"another", witnessed=witnessed(at90=Seen.SAME))
        assert decided.snapshot.floor == 0

    def test_the_same_topic_is_gone_on_with(self) -> None:
        decided = start(row=self.ROW, log_end=50, topic_id=b"one")
        assert decided.snapshot == self.ROW
        assert not decided.write

    @pytest.mark.parametrize(("before", "now"), [(b"", b"one"), (b"one", b"")], ids=["an older row", "an older broker"])
    def test_who_gives_no_id_says_nothing(self, before: bytes, now: bytes) -> None:
        decided = start(row=replace(self.ROW, topic_id=before), log_end=50, topic_id=now)
        assert decided.snapshot == self.ROW, "and what is known of it goes into the next row"
        assert not decided.write
