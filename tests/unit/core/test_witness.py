"""Records below the floor that are remembered: what they are made of, which of them are kept, and what they prove."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

import pytest

from fanout_app.core.ledger import LedgerSnapshot, PartitionLedger
from fanout_app.core.witness import Candidates, Seen, Verdict, Witness, compare, judge, thinned, witness_of
from support.messages import FakeMessage
from unit.core.desk import Desk, batch, lease

RECORD = FakeMessage(7, b"value", b"key", 1_700_000_000_000, (("name", b"content"), ("name", None)))


def at(*offsets: int) -> list[Witness]:
    return [Witness(offset, 0, 0) for offset in offsets]


@pytest.mark.parametrize(
    "other",
    [
        replace(RECORD, offset=8),
        replace(RECORD, timestamp=RECORD.timestamp + 1),
        replace(RECORD, value=b"other"),
        replace(RECORD, key=b"other"),
        replace(RECORD, key=b"keyv", value=b"alue"),
        replace(RECORD, key=None),
        replace(RECORD, value=None),
        replace(RECORD, headers=RECORD.headers[:1]),
        replace(RECORD, headers=RECORD.headers[::-1]),
        replace(RECORD, headers=(("name", b"content"), ("name", b""))),
        replace(RECORD, headers=(("eman", b"content"), ("name", None))),
    ],
)
def test_a_record_that_differs_anywhere_is_another_one(other: FakeMessage) -> None:
    assert compare(witness_of(RECORD), other) is Seen.OTHER


def test_the_same_record_is_the_same() -> None:
    assert compare(witness_of(RECORD), replace(RECORD)) is Seen.SAME


def test_null_and_empty_differ() -> None:
    for part in ("key", "value"):
        null, empty = (replace(RECORD, **{part: content}) for content in (None, b""))  # type: ignore[arg-type]
        assert compare(witness_of(null), empty) is Seen.OTHER


def test_a_record_that_is_not_there_is_absent() -> None:
    assert compare(witness_of(RECORD), None) is Seen.ABSENT


def test_a_header_name_of_any_bytes_has_a_witness() -> None:
    odd = replace(RECORD, headers=((b"\xff".decode(errors="surrogateescape"), b"x"),))
    assert compare(witness_of(odd), odd) is Seen.SAME


class TestCandidates:
    def saw(self, *offsets: int) -> Candidates:
        candidates = Candidates()
        for offset in offsets:
            candidates.saw(FakeMessage(offset))
        return candidates

    def test_one_becomes_a_witness_once_the_floor_has_passed_it(self) -> None:
        candidates = self.saw(9, 19, 29)
        assert candidates.passed(9) is None
        assert candidates.passed(25) == witness_of(FakeMessage(19))
        assert candidates.passed(29) is None, "each is answered once"
        assert candidates.passed(30) == witness_of(FakeMessage(29))

    def test_while_the_floor_stands_their_number_is_bounded_and_the_last_one_stays(self) -> None:
        candidates = self.saw(*range(1000))
        assert len(candidates._waiting) == 64
        assert candidates.passed(63) == witness_of(FakeMessage(62))
        assert candidates.passed(1000) == witness_of(FakeMessage(999))

    def test_a_partition_bears_the_last_record_of_a_fetch_below_its_floor(self) -> None:
        desk = Desk()
        desk.fetch(0, 1, 2)
        desk.fetch(3, 4)
        first = desk.pull("A", 3)
        second = desk.pull("A", 1)
        assert desk[0].snapshot().witnesses == ()
        version = desk[0].ledger.version
        desk.ack(batch(first))
        assert [witness.offset for witness in desk[0].snapshot().witnesses] == [2]
        desk.ack(lease(second))
        assert [witness.offset for witness in desk[0].snapshot().witnesses] == [2], "4 is above the floor"
        assert desk[0].ledger.version == version + 2, "no row is written for the sake of a witness"
        desk.ack(lease(desk.pull("A")))
        assert [witness.offset for witness in desk[0].snapshot().witnesses] == [2, 4]

    def test_a_record_settled_before_it_was_read_is_a_witness_too(self) -> None:
        desk = Desk(LedgerSnapshot(settled=frozenset((0, 1, 2))))
        desk.queue.drop(0, desk.now)
        partition = desk.assign(0, LedgerSnapshot(settled=frozenset((1, 2))))
        desk.fetch(0, 1, 2)
        desk.ack(lease(desk.pull("A")))
        assert [witness.offset for witness in partition.snapshot().witnesses] == [2]


class TestThinned:
    def test_nothing_is_nothing(self) -> None:
        assert thinned(()) == ()

    def test_the_latest_always_stays(self) -> None:
        kept: Sequence[Witness] = ()
        for offset in range(1, 500):
            kept = thinned((*kept, *at(offset)))
            assert kept[-1].offset == offset
            assert list(kept) == sorted(kept)

    def test_one_is_kept_once_though_many_rows_have_it(self) -> None:
        assert thinned(at(3, 5, 5, 3)) == tuple(at(3, 5))

    def test_of_two_that_contradict_each_other_one_stays(self) -> None:
        """Rows of one era disagree only where a log was made anew: any of the two says so."""
        assert [witness.offset for witness in thinned((Witness(3, 0, 1), Witness(3, 0, 2), *at(9)))] == [3, 9]

    @pytest.mark.parametrize("steps", [(1,), (100,), (1, 1, 1, 5, 500, 20_000), (1 << 40,)])
    def test_whatever_was_borne_one_not_much_further_away_is_there(self, steps: tuple[int, ...]) -> None:
        """Borne one by one, as floors do: a truncation by n offsets costs a few n, not everything."""
        choice = random.Random(steps[0]).choice
        kept: tuple[Witness, ...] = ()
        borne: list[int] = []
        for number in range(1500):
            borne.append((borne or [0])[-1] + choice(steps))
            kept = thinned((*kept, *at(borne[-1])))
            assert len(kept) <= 24
            if number % 50 == 0:
                offsets = [witness.offset for witness in kept]
                for truncated_to in borne[:-1]:
                    before = offsets[bisect_right(offsets, truncated_to) - 1]
                    assert before <= truncated_to
                    assert borne[-1] - before <= 8 * (borne[-1] - truncated_to)

    def test_24_at_most_and_the_nearest_ones(self) -> None:
        many = at(*(1_000_000_000_000 - 3**exponent for exponent in range(25)))
        kept = thinned(many)
        assert len(kept) == 24
        assert min(kept) > min(many)

    def test_the_ledger_thins_what_it_bears(self) -> None:
        ledger = PartitionLedger()
        for offset in range(10_000):
            ledger.bear(Witness(offset, 0, 0))
        assert len(ledger.witnesses) <= 24
        assert ledger.witnesses[-1].offset == 9999

    def test_a_new_era_keeps_those_below_its_floor(self) -> None:
        ledger = PartitionLedger(LedgerSnapshot(floor=100, witnesses=tuple(at(10, 50, 90))))
        ledger.begin_era(50)
        assert ledger.witnesses == tuple(at(10))


class TestJudge:
    def judge(self, *seen: Seen) -> Verdict:
        return judge({Witness(offset, 0, 0): each for offset, each in enumerate(seen)})

    def test_nothing_was_looked_for(self) -> None:
        assert self.judge() == (False, None)

    def test_all_are_there(self) -> None:
        assert self.judge(Seen.SAME, Seen.SAME) == (False, Witness(1, 0, 0))

    def test_absent_ones_prove_nothing(self) -> None:
        assert self.judge(Seen.ABSENT, Seen.ABSENT) == (False, None)
        assert self.judge(Seen.SAME, Seen.ABSENT) == (False, Witness(0, 0, 0))

    def test_another_record_does_and_what_is_above_it_counts_no_more(self) -> None:
        assert self.judge(Seen.OTHER) == (True, None)
        assert self.judge(Seen.SAME, Seen.ABSENT, Seen.OTHER, Seen.SAME) == (True, Witness(0, 0, 0))
