"""The dispatcher and the settling, step by step beside a queue done on paper; whatever they do must be the same.

Time is a number that a rule moves, Kafka is a list that grows when it is read to its end, and the changelog is a
dictionary. A worker is killed at any step and starts again from the rows that were written.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from fanout_app.core.dispatcher import Dispatcher, Limits
from fanout_app.core.lease import Answer
from fanout_app.core.ledger import LedgerSnapshot, PartitionLedger, join
from fanout_app.core.ledger_row import decode_row, encode_row
from fanout_app.core.redelivery import Backoff, Spent
from fanout_app.core.requests import BatchRef, Entry, LeaseRef, Pull, Settle, Verb
from fanout_app.core.resting import Resting
from fanout_app.core.settling import Settling
from properties.machine_checks import Checks
from properties.machine_owners import Owners
from properties.machine_parts import (
    GENERATIONS,
    NUMBERS,
    Durable,
    Log,
    Round,
    Sharing,
    Written,
    delays,
    described,
    described_naively,
    message,
    numbers,
    recent,
    records,
    refs,
    refs_of,
    rounds,
    sharings,
    waits,
)
from properties.naive_queue import (
    ALONE_FROM,
    BUFFER_BYTES,
    CLIENT_LIMIT,
    HOARDING,
    IN_A_ROW,
    LONG_DELAY,
    MAX_ACK_PENDING,
    MAX_DELIVER,
    MAX_ROW_BYTES,
    OTHER_CLIENT_WAIT,
    TTL,
    Held,
    Place,
)
from properties.naive_resting import Given, NaiveWholeQueue

LIMITS = Limits(
    max_ack_pending=MAX_ACK_PENDING,
    buffer_bytes=BUFFER_BYTES,
    client_limit=CLIENT_LIMIT,
    client_ttl=TTL,
    hoarding=HOARDING,
    other_client_wait=OTHER_CLIENT_WAIT,
    backoff=Backoff(first=0.25, longest=2.0),
    long_delay=LONG_DELAY,
    max_deliver=MAX_DELIVER,
    alone_from=ALONE_FROM,
    max_row_bytes=MAX_ROW_BYTES,
)


class QueueMachine(Checks, Owners, RuleBasedStateMachine):
    limits = LIMITS

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.generation = 1
        self.logs = {number: Log() for number in NUMBERS}
        self.changelog: dict[tuple[int, int], Written] = {}
        #: What a killed worker had in memory: its last write may still be on its way.
        self.late_rows: list[tuple[int, Written]] = []
        #: What rows acknowledged so far hold of each partition.
        self.durable = {number: Durable(0, 0) for number in NUMBERS}
        self.batches: tuple[itertools.count[int], itertools.count[int]] = (itertools.count(1), itertools.count(1))
        self.handed: list[LeaseRef] = []
        self.whole: list[BatchRef] = []
        self.anonymous = itertools.count(1)
        self.expired_at = 0.0
        self.read_at = set()
        self.start_worker()

    def start_worker(self) -> None:
        self.queue = Dispatcher(self.limits, new_batch=self.batches[0].__next__, jitter=lambda: 0.0, in_a_row=IN_A_ROW)
        self.resting = Resting(self.queue)
        self.naive = NaiveWholeQueue(self.batches[1], ordered=self.limits.order_by_key)
        self.answers: list[Answer] = []
        self.pulls = 0
        self.being_read: list[tuple[int, int, list[int]]] = []
        self.being_put_away: list[tuple[Spent, Given, Held]] = []
        for number in NUMBERS:
            self.assign_from_rows(number)

    def assign_from_rows(self, number: int) -> None:
        written = [row for (partition, _), row in sorted(self.changelog.items()) if partition == number]
        snapshot = join(decode_row(row.row, id="i", topic="t").snapshot() for row in written) or LedgerSnapshot()
        known = self.durable[number]
        partition = self.queue.assign(number, snapshot)
        self.naive.assign(number, known.era, known.start, known.settled, known.failures, known.witness)
        self.queue.take_over(number, snapshot.handed_over, self.now)
        self.naive_takes_over(number)
        self.queue.resume(number)
        self.logs[number].position = partition.next_offset

    # Kafka -----------------------------------------------------------------------------------------------------------

    @rule(number=numbers, new=records, count=st.integers(0, 6))
    def fetch(self, number: int, new: list[int | None], count: int) -> None:
        if number not in self.queue.partitions:
            self.generation += 1
            self.assign_from_rows(number)
        log = self.logs[number]
        asked = log.position
        if asked == len(log.sizes):
            log.sizes.extend(new)
        log.position = after = min(len(log.sizes), asked + count)
        found, sizes = log.read(asked, after)
        taken = self.queue.offer(number, asked, after, found)
        assert taken == self.naive.offer(number, asked, after, sizes)
        if not taken:
            log.position = self.queue.partitions[number].next_offset

    @rule(number=numbers, new=records)
    def dropped_fetch(self, number: int, new: list[int | None]) -> None:
        """Records are read and lost on the way: the consumer stands behind them, and nobody has them."""
        log = self.logs[number]
        log.sizes.extend(new)
        log.position = len(log.sizes)

    @rule(number=numbers, back=st.integers(1, 6))
    def fetch_of_known_offsets(self, number: int, back: int) -> None:
        if number in self.queue.partitions:
            after = self.queue.partitions[number].next_offset
            asked = max(0, after - back)
            found, _ = self.logs[number].read(asked, after)
            assert self.queue.offer(number, asked, after, found) == (asked == after)

    # Clients ---------------------------------------------------------------------------------------------------------

    @rule(
        client=st.sampled_from(("A", "B", "C", "D", None)),
        group=st.sampled_from(("stable", "stable", "canary", "other")),
        max_messages=st.sampled_from((1, 1, 2, 5)),
        max_bytes=st.sampled_from((0, 5, 1000)),
        ack_wait=waits,
        served=st.booleans(),
    )
    def pull(
        self, client: str | None, group: str, max_messages: int, max_bytes: int, ack_wait: float, served: bool
    ) -> None:
        wish = Pull(
            client=client or f"nameless-{next(self.anonymous)}",
            group=group,
            max_messages=max_messages,
            max_bytes=max_bytes,
            ack_wait=ack_wait,
        )
        number = self.queue.add_pull(self.now, wish, anonymous=client is None)
        self.naive.add_pull(self.now, number, wish, named=client is not None)
        self.pulls = number
        if served:
            self.serve()

    @precondition(lambda self: self.pulls)
    @rule(back=recent)
    def cancel_pull(self, back: int) -> None:
        number = max(1, self.pulls - back)
        self.queue.cancel_pull(number, self.now)
        self.naive.cancel_pull(number, self.now)

    @rule(sharing=sharings)
    def set_weights(self, sharing: Sharing) -> None:
        self.queue.set_weights(*sharing)
        self.naive.weights, self.naive.by = sharing

    @precondition(lambda self: self.handed)
    @rule(verb=st.sampled_from((Verb.NACK, None)), sharing=sharings, wishes=st.lists(rounds, min_size=1, max_size=4))
    def set_weights_while_messages_come_back(self, verb: Verb | None, sharing: Sharing, wishes: list[Round]) -> None:
        """They lie there when the lanes are laid anew, and those wait who may have them by the old ones or the new."""
        if verb is None and self.answers:
            self.release(0)
        elif verb is not None:
            self._settle({verb: [Entry(token="nack", ref=self._ref("live lease", 0), delay=0.0)]})
        self.set_weights(sharing)
        for wish in wishes:
            self.pull(wish.client, wish.group, wish.max_messages, 1000, wish.ack_wait, True)

    @rule(groups=st.sets(st.sampled_from(("stable", "canary", "other"))))
    def others_tell_who_is_alive(self, groups: set[str]) -> None:
        self.queue.sharing.alive_elsewhere = self.naive.alive_elsewhere = groups

    @rule()
    def serve(self) -> None:
        expected = self.naive.serve(self.now)
        handouts = self.queue.serve(self.now)
        # In an answer, messages with one delivery count stand together.
        assert [(pull, sorted(refs_of(answer))) for pull, answer in handouts] == [(p, sorted(r)) for p, r in expected]
        for _, answer in handouts:
            self.answers.append(answer)
            self.handed.extend(refs_of(answer))
            self.were_handed_out(refs_of(answer))
            self.whole.append(BatchRef(answer.runs[0].partition, answer.batch))
        self.nothing_is_kept_from_who_waits()

    def were_handed_out(self, refs: list[LeaseRef]) -> None:
        """For what a variant of the machine has to say of it."""

    def nothing_is_kept_from_who_waits(self) -> None:
        """The promise about redelivery, without a word about how turns are taken."""
        naive = self.naive
        turns = [] if naive.paused else naive.turns()
        for partition in naive.partitions.values():
            for offset in () if partition.suspended or naive.paused else partition.at(Place.FRESH, Place.RETURNED):
                held = partition.held[offset]
                lane = naive.lane_at(partition, offset)
                groups = [lane] if lane and (naive.by == "key" or lane in turns) else [] if lane else turns
                may = {client for client, group in naive.servable() if group in groups}
                stand_back = {client for client in may if naive.clients[client].in_doubt and held.client is not None}
                others = may - stand_back if self.now < held.at else may
                assert others <= {held.client}, "another client waits for what is there"
                assert not may or self.now < held.at, "nobody else came, and the time is over"

    @rule(wish=rounds)
    def round(self, wish: Round) -> None:
        """What goes on most of the time, so that the other rules find something to disturb."""
        self.fetch(wish.number, wish.new, len(wish.new))
        self.pull(wish.client, wish.group, wish.max_messages, 1000, wish.ack_wait, True)

    @initialize(sharing=sharings, wishes=st.lists(rounds, min_size=1, max_size=6))
    def first_rounds(self, sharing: Sharing, wishes: list[Round]) -> None:
        """Hypothesis leaves each rule out of some runs: these have something to do all the same."""
        self.set_weights(sharing)
        self.go_on(wishes)

    def go_on(self, wishes: list[Round]) -> None:
        for wish in wishes:
            self.round(wish)

    @rule(wishes=st.lists(rounds, min_size=1, max_size=2), seconds=st.sampled_from((0.25, 0.5, 30.0)))
    def a_while_later(self, wishes: list[Round], seconds: float) -> None:
        self.time_passes(seconds, False)
        self.go_on(wishes)

    # Settling --------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.handed)
    @rule(
        wishes=st.lists(st.tuples(st.sampled_from(Verb), refs, delays, waits), min_size=1, max_size=5),
        rejects=st.sampled_from(("put away", "on their way", "not taken")),
    )
    def settle(self, wishes: list[tuple[Verb, tuple[str, int], float | None, float]], rejects: str) -> None:
        entries: dict[Verb, list[Entry]] = {}
        for token, (verb, which, delay, ack_wait) in enumerate(wishes):
            entry = Entry(token=str(token), ref=self._ref(*which), delay=delay, ack_wait=ack_wait)
            entries.setdefault(verb, []).append(entry)
        entries.setdefault(Verb.ACK, []).append(Entry(token="damaged", ref=None))
        self._settle(entries, rejects)

    @precondition(lambda self: self.handed)
    @rule(which=refs)
    def ack(self, which: tuple[str, int]) -> None:
        self._settle({Verb.ACK: [Entry(token="ack", ref=self._ref(*which))]})

    @precondition(lambda self: self.handed)
    @rule(verb=st.sampled_from(Verb), back=recent, off=st.sampled_from((-1, 1)))
    def settle_what_was_not_handed_out(self, verb: Verb, back: int, off: int) -> None:
        """A client that forges an offset of the answer it got; another answer may well have held it."""
        ref = self.handed[-1 - min(back, len(self.handed) - 1)]
        forged = ref._replace(offset=max(0, ref.offset + off))
        if self.naive.batch_lives(ref.batch) and forged.offset < len(self.logs[ref.partition].sizes):
            self._settle({verb: [Entry(token="forged", ref=forged)]})

    def _ref(self, kind: str, back: int) -> LeaseRef | BatchRef:
        pool: Sequence[LeaseRef | BatchRef] = self.whole if kind == "batch" else self.handed
        if kind == "live lease":
            pool = [ref for ref in self.handed if self.naive.held_under(ref)] or self.handed
        return pool[-1 - min(back, len(pool) - 1)]

    def _settle(self, entries: dict[Verb, list[Entry]], rejects: str = "on their way") -> None:
        extend, nack, reject, ack = (entries.get(verb, ()) for verb in (Verb.EXTEND, Verb.NACK, Verb.REJECT, Verb.ACK))
        settle = Settle(extend=extend, nack=nack, reject=reject, ack=ack)
        expected = self.naive.settle(settle, self.now)
        settling = Settling(self.queue, self.now)
        assert described(settling, settling.run(settle)) == described_naively(expected)
        for number, pending in settling.pending.items():
            version = self.queue.partitions[number].ledger.version
            # Acks are worked off last; what was settled before only needs a row that knows of it.
            assert pending.version == version if pending.acked else pending.version <= version
        if rejects == "put away":
            for entry, run in settling.rejects:
                settling.rejected(entry, run, run.messages[0].offset)
            for number, offset, _ in expected.rejects:
                self.naive.rejected(number, offset, self.now)
        elif rejects == "not taken":
            for entry, run in settling.rejects:
                settling.not_rejected(entry, run, self.now)
            for rejected in expected.rejects:
                self.naive.not_rejected(*rejected)

    @precondition(lambda self: self.answers)
    @rule(back=recent)
    def release(self, back: int) -> None:
        answer = self.answers[-1 - min(back, len(self.answers) - 1)]
        self.queue.release(answer, self.now)
        self.naive.release(answer.batch, self.now)

    @rule(client=st.sampled_from("ABCD"))
    def leave(self, client: str) -> None:
        assert self.queue.leave(client, self.now) == self.naive.leave(client, self.now)

    # Asleep and spent ------------------------------------------------------------------------------------------------

    @rule(most=st.integers(1, 3), answered=st.booleans(), found=st.sampled_from(("all", "first", "none", "failed")))
    def read_what_sleeps(self, most: int, answered: bool, found: str) -> None:
        expected = self.naive.to_read(most, self.now)
        assert self.resting.to_read(most, self.now) == expected
        for number, offsets in expected.items():
            self.being_read.append((number, self.naive.partitions[number].era, offsets))
            if answered:
                self.what_sleeps_was_read(0, found)

    @precondition(lambda self: self.being_read)
    @rule(back=recent, found=st.sampled_from(("all", "all", "first", "none", "failed")))
    def what_sleeps_was_read(self, back: int, found: str) -> None:
        """Also long after it was asked for, when nobody needs it any more."""
        number, era, offsets = self.being_read.pop(-1 - min(back, len(self.being_read) - 1))
        if found == "failed":
            self.resting.not_read(number, offsets)
            self.naive.not_read(number, offsets)
            return
        log = self.logs[number]
        there = {"all": offsets, "first": offsets[:1], "none": []}[found]
        bodies = {offset: message(offset, log.sizes[offset] or 0) for offset in there}
        self.read_at.add(self.now)
        lost = self.resting.awake(number, era, offsets, bodies, self.now)
        assert lost == self.naive.awake(number, era, offsets, there, self.now)

    @rule(arrives=st.booleans(), back=recent)
    def put_away_what_is_spent(self, arrives: bool, back: int) -> None:
        expected = self.naive.spent()
        spent = {(s.partition, s.era, s.message.offset, s.delivery_count, s.client): s for s in self.resting.spent()}
        assert spent.keys() == expected.keys()
        self.being_put_away.extend((spent[given], given, held) for given, held in expected.items())
        if arrives and self.being_put_away:
            one, given, held = self.being_put_away.pop(-1 - min(back, len(self.being_put_away) - 1))
            assert self.resting.put_away(one) == self.naive.put_away(given, held)

    # Time ------------------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from((0.25, 0.5, 1.0, 5.0, 11.0)), late=st.booleans())
    def time_passes(self, seconds: float, late: bool) -> None:
        """The timer may be late, and settles and pulls may come before it."""
        self.now += seconds
        if not late:
            self._expire()

    @precondition(lambda self: self.queue.next_deadline() is not None)
    @rule(served=st.booleans())
    def to_next_deadline(self, served: bool) -> None:
        self.now = max(self.now, self.queue.next_deadline() or 0.0)
        self._expire()
        if served:
            self.serve()

    def _expire(self) -> None:
        self.expired_at = self.now
        self.read_at.clear()
        self.queue.expire(self.now)
        self.naive.expire(self.now)

    # The changelog, and what happens to workers ----------------------------------------------------------------------

    @rule(number=numbers)
    def write(self, number: int) -> None:
        if number in self.queue.partitions:
            self._arrives(number, self._row(number))

    @rule(
        trouble=st.sampled_from(
            (
                "killed",
                "killed while writing",
                "late write",
                "suspended",
                "resumed",
                "given up",
                "seek",
                "retention",
                "paused",
                "going on",
                "row too large",
                "row small again",
                "log watched",
            )
        ),
        number=numbers,
        offset=st.integers(0, 12),
    )
    def trouble(self, trouble: str, number: int, offset: int) -> None:
        """One rule for all of them, so that they do not come more often than what they disturb."""
        if trouble.startswith("killed"):
            if trouble == "killed while writing":
                self.late_rows.extend((number, self._row(number)) for number in self.queue.partitions)
            self.generation += 1
            self.start_worker()
        elif trouble == "late write" and self.late_rows:
            self._late_write(*self.late_rows.pop(0))
        elif trouble == "suspended":
            self.queue.suspend()
            for partition in self.naive.partitions.values():
                partition.suspended = True
        elif trouble in ("paused", "going on"):
            self.queue.paused = self.naive.paused = trouble == "paused"
        elif number in self.queue.partitions:
            if trouble.startswith("row"):
                self.naive.partitions[number].row_too_large = trouble == "row too large"
                full = trouble == "row too large"
                self.queue.partitions[number].row_bytes = MAX_ROW_BYTES if full else MAX_ROW_BYTES - 1
            elif trouble == "log watched":
                end = len(self.logs[number].sizes)
                self.queue.partitions[number].log_end = self.naive.partitions[number].log_end = end
            elif trouble == "resumed":
                self._resume(number)
            elif trouble == "given up":
                self._give_up(number)
            elif trouble == "seek":
                self._seek(number, offset)
            elif trouble == "retention":
                self._retention(number, max(0, self.queue.partitions[number].next_offset + offset - 8))

    @rule(
        how=st.sampled_from(("all moved", "all moved", "one moved away and back", "revoked and kept")),
        number=numbers,
        retention=st.sampled_from((0, 0, 0, 2, 4)),
        wishes=st.lists(st.tuples(st.sampled_from(Verb), recent, delays), max_size=2),
    )
    def rebalance(self, how: str, number: int, retention: int, wishes: list[tuple[Verb, int, float | None]]) -> None:
        """Leases go from one owner to the next, and are settled there before anything is fetched."""
        if how == "all moved":
            self.last_rows(self.queue.partitions)
            self.start_worker()
        elif number in self.queue.partitions:
            self.last_rows([number])
            if how == "revoked and kept":
                self._resume(number)
            else:
                self._give_up(number)
                self.assign_from_rows(number)
        if retention and number in self.queue.partitions:
            self._retention(number, self.queue.partitions[number].next_offset + retention)
        for token, (verb, back, delay) in enumerate(wishes if self.handed else ()):
            self._settle({verb: [Entry(token=str(token), ref=self._ref("live lease", back), delay=delay)]})

    def _resume(self, number: int) -> None:
        self.queue.resume(number)
        self.naive.partitions[number].suspended = False
        self.naive.partitions[number].tenure += 1

    def _late_write(self, number: int, written: Written) -> None:
        """A worker that lost its partitions long ago wakes up. Its row counts at the next start, with all others."""
        if written.generation > self.generation - GENERATIONS:
            self._arrives(number, written)

    def _give_up(self, number: int) -> None:
        self.queue.drop(number, self.now)
        self.naive.drop(number, self.now)

    def _seek(self, number: int, offset: int) -> None:
        """An operator's reset: a new era, whose row is written before anything is handed out."""
        self.logs[number].grow(offset)
        self._give_up(number)
        written = [row.row for (partition, _), row in self.changelog.items() if partition == number]
        ledger = PartitionLedger(join(decode_row(row, id="i", topic="t").snapshot() for row in written))
        ledger.begin_era(offset)
        era = self.durable[number].era + 1
        assert ledger.era == era
        # Which of the older witnesses are left is the thinning's business; none of them is above the new floor.
        witness = max((one.offset for one in ledger.witnesses), default=None)
        assert witness is None or witness < offset
        self.durable[number] = Durable(era, offset, witness=witness)
        row = encode_row(ledger.snapshot(), id="i", topic="t", generation=self.generation, counter=0)
        self._arrives(number, Written(row, self.generation, era, frozenset(), {}, witness, ledger.tenure, {}))
        self.assign_from_rows(number)

    def _retention(self, number: int, offset: int) -> None:
        self.logs[number].grow(offset)
        assert self.queue.log_starts_at(number, offset) == self.naive.log_starts_at(number, offset)
        self.logs[number].position = self.queue.partitions[number].next_offset


TestQueue = QueueMachine.TestCase
