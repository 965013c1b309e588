"""The leases of all partitions: how they begin, and the ways in which they end.

A lease ends by being settled, by failing (nacked, or its time is up) or by being taken back as if it had never been.
Whoever ends one moves the message first, then calls `_end`, which keeps the counts of run, client and answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from fanout_app.core.acked_batches import AckedBatches
from fanout_app.core.client import Client, Clients
from fanout_app.core.deadlines import Deadlines
from fanout_app.core.lease import Answer, HandedOver, LeaseRun
from fanout_app.core.ledger import PartitionLedger
from fanout_app.core.limits import Counters, Limits
from fanout_app.core.message import Bodiless, Message, size_of
from fanout_app.core.partition import PartitionQueue
from fanout_app.core.received import Received
from fanout_app.core.redelivery import Delayed
from fanout_app.core.requests import Pull
from fanout_app.core.sleepers import Sleeper
from fanout_app.core.windows import Windows


class Leases:
    """All leases of one worker. The partitions are the dispatcher's; which message is under which lease, they know."""

    def __init__(
        self,
        limits: Limits,
        partitions: Mapping[int, PartitionQueue],
        clients: Clients,
        *,
        deadlines: Deadlines,
        jitter: Callable[[], float],
        holds_more_or_less: Callable[[Client], None],
        came_back: Callable[[str, int, int], None],
    ) -> None:
        """``came_back`` is told of messages of a share that reached nobody: its group, how many, and their round."""
        self.counters = Counters()
        #: What the guards of groups look at.
        self.windows = Windows()
        self.answers: dict[int, Answer] = {}
        #: Those of pulls that can be asked for once more.
        self.received = Received(self.live_messages)
        #: Partitions of which sleeping messages want to be read; maybe some more.
        self.waking: set[int] = set()
        self.acked_batches = AckedBatches()
        self._limits = limits
        self._partitions = partitions
        self._clients = clients
        self._deadlines = deadlines
        self._jitter = jitter
        self._holds_more_or_less = holds_more_or_less
        self._came_back = came_back
        self._waking_at: float | None = None
        #: Told of an answer on loan that has just gone back because nobody confirmed it in time.
        self.on_overdue: Callable[[Answer], None] = lambda answer: None

    def hand_out(
        self,
        batch: int,
        pull: Pull,
        client: Client,
        taken: list[tuple[PartitionQueue, list[Message]]],
        now: float,
        *,
        counted_in: int = 0,
    ) -> Answer:
        """Lease what was taken to who waited for it, as part of its group's share in this round; 0: of none."""
        runs: list[LeaseRun] = []
        delivered = 0
        for partition, messages in taken:
            for count, part in _by_delivery_count(partition.ledger, messages):
                run = LeaseRun(
                    batch=batch,
                    partition=partition.number,
                    era=partition.ledger.era,
                    client=pull.client,
                    group=pull.group,
                    messages=part,
                    delivery_count=count,
                    delivered_at=now,
                    ack_wait=pull.ack_wait,
                )
                partition.lease(run)
                self._ends_at(run, run.deadline)
                self._clients.took(client, len(part))
                delivered += len(part)
                if count > 1:
                    self.counters.redelivered += len(part)
                runs.append(run)
        self._holds_more_or_less(client)
        self.counters.delivered += delivered
        self.windows.delivered(pull.group, delivered, now)
        answer = Answer(
            batch=batch,
            client=pull.client,
            group=pull.group,
            runs=runs,
            counted_in=counted_in,
            receive_id=pull.receive_id,
        )
        self.answers[batch] = answer
        if answer.receive_id:
            self.received.add(answer)
        return answer

    def lend(self, answer: Answer, until: float, *, being_written: bool = False) -> None:
        """The answer has a way to go yet: it goes back at this time, uncounted, unless it is confirmed before.

        ``being_written``: word has come that its client is taking it.
        """
        answer.being_written = being_written
        answer.provisional.cancel()
        answer.provisional = self._deadlines.set(until, lambda now: self._loan_is_over(answer, now))

    def _loan_is_over(self, answer: Answer, now: float) -> None:
        self.release(answer, now)
        self.on_overdue(answer)

    @staticmethod
    def confirm(answer: Answer) -> None:
        """The answer is with its client: its leases last as long as any."""
        answer.provisional.cancel()

    def shown(self, run: LeaseRun) -> None:
        """Somebody came with a token of this run: the answer is with its client, whether or not word of that comes."""
        answer = self.answers.get(run.batch)
        if answer is not None and not run.handed_over:
            self.confirm(answer)

    def take_over(self, number: int, handed_over: Iterable[HandedOver], now: float) -> int:
        """Hold back what an earlier owner has left, before the first fetch; answers how many messages clients have."""
        partition = self._partitions[number]
        leased = 0
        # Where two rows disagree, nobody is disturbed before the later end.
        for one in sorted(handed_over, key=lambda one: one.left, reverse=True):
            offsets = partition.expect(one)
            if one.batch is None:
                due = now + one.left
                self._put_to_sleep(partition, map(Bodiless, offsets), Sleeper(one.client or None, due, due, one.group))
            elif offsets:
                self._take_over_run(partition, one, one.batch, offsets, now)
                leased += len(offsets)
        return leased

    def _take_over_run(
        self, partition: PartitionQueue, one: HandedOver, batch: int, offsets: list[int], now: float
    ) -> None:
        run = LeaseRun(
            batch=batch,
            partition=partition.number,
            era=partition.ledger.era,
            client=one.client,
            group=one.group,
            messages=[*map(Bodiless, offsets)],
            delivery_count=one.delivery_count,
            delivered_at=now - one.age,
            ack_wait=one.age + one.left,
            handed_over=True,
        )
        partition.lease(run)
        self._ends_at(run, now + one.left)
        client = self._clients.get(one.client)
        if client is None:
            client = self._clients.seen(now, one.client, one.group, anonymous=one.anonymous)
        self._clients.holds(client, len(offsets))
        self._holds_more_or_less(client)

    def live_messages(self, run: LeaseRun) -> list[Message]:
        """The messages of a run that are still under its lease."""
        partition = self._partitions.get(run.partition)
        if partition is None or not run.live:
            return []
        if run.live == len(run.messages):
            return list(run.messages)
        return [message for message in run.messages if partition.in_flight.get(message.offset) is run]

    def release(self, answer: Answer, now: float) -> None:
        """The answer could not be written: its messages go back as if they had never been handed out."""
        answer.provisional.cancel()
        for run in (*answer.runs, *answer.splits):
            messages = self.live_messages(run)
            if messages:
                self._take_back(run, messages, now, barred=False)
                self._uncount(answer, messages, now)

    def _uncount(self, answer: Answer, messages: Sequence[Message], now: float) -> None:
        self.counters.released += len(messages)
        self.windows.delivered(answer.group, -len(messages), now)
        if answer.counted_in:
            self._came_back(answer.group, len(messages), answer.counted_in)

    def free(self, client: str, now: float) -> None:
        """The client has left: what it holds goes to the next one, uncounted."""
        for partition in self._partitions.values():
            for run in {run for run in partition.in_flight.values() if run.client == client}:
                messages = self.live_messages(run)
                self._take_back(run, messages, now, barred=False)
                self.counters.released += len(messages)

    def _ends_at(self, run: LeaseRun, deadline: float) -> None:
        run.alarm.cancel()
        run.deadline = deadline
        run.alarm = self._deadlines.set(deadline, lambda now: self._expired(run, now))

    def _expired(self, run: LeaseRun, now: float) -> None:
        messages = self.live_messages(run)
        answer = None if run.handed_over else self.answers[run.batch]
        if answer is not None and answer.provisional.set and not answer.being_written:
            # Shorter than the loan, and nobody has said that its client has seen it. Others first, all the same: the
            # worker that is silent may have more clients waiting.
            self._take_back(run, messages, now, barred=True)
            self._uncount(answer, messages, now)
            return
        self._clients.let_expire(self._clients[run.client], len(messages))
        self.counters.expired += len(messages)
        self.windows.expired(run.group, len(messages), now)
        self._fail(run, messages, now, 0.0, "lease expired")

    def fail(self, run: LeaseRun, messages: Sequence[Message], now: float, delay: float | None, reason: str) -> None:
        """Nacked: the next client gets them after ``delay`` seconds, by default those of the backoff."""
        self.windows.nacked(run.group, len(messages), now)
        if delay is None:
            delay = self._limits.backoff.delay(run.delivery_count, self._jitter())
        self._fail(run, messages, now, delay, reason or "nacked")

    def _fail(self, run: LeaseRun, messages: Sequence[Message], now: float, delay: float, reason: str) -> None:
        partition = self._partitions[run.partition]
        for message in messages:
            partition.ledger.failed(message.offset)
        limit = self._limits.max_deliver
        if limit is not None and run.delivery_count >= limit:
            self._give_up_on(run, messages, now, reason)
        elif delay <= 0:
            self._take_back(run, messages, now, barred=True)
        else:
            self._delay(run, messages, now, delay)

    def _give_up_on(self, run: LeaseRun, messages: Sequence[Message], now: float, reason: str) -> None:
        partition = self._partitions[run.partition]
        for message in messages:
            del partition.in_flight[message.offset]
            if not run.handed_over:
                partition.give_up_on(message, run.delivery_count, reason, run.client)
        if run.handed_over:
            self._put_to_sleep(partition, messages, Sleeper(run.client, now, now, run.group, given_up=reason))
        self._end(run, len(messages), now)

    def _delay(self, run: LeaseRun, messages: Sequence[Message], now: float, delay: float) -> None:
        partition = self._partitions[run.partition]
        due = now + delay
        for message in messages:
            del partition.in_flight[message.offset]
        if delay > self._limits.long_delay or run.handed_over:
            self._put_to_sleep(partition, messages, Sleeper(run.client, due, due, run.group))
        else:
            offsets = [message.offset for message in messages]
            partition.delayed.update(
                (message.offset, Delayed(message, run.client, run.group, due)) for message in messages
            )
            self._deadlines.set(due, lambda at: self._delay_over(partition, offsets, at))
        self._end(run, len(messages), now)

    def _put_to_sleep(self, partition: PartitionQueue, messages: Iterable[Message], sleeper: Sleeper) -> None:
        offsets = []
        for message in messages:
            partition.put_to_sleep(message, sleeper)
            offsets.append(message.offset)
        if offsets:
            self._deadlines.set(sleeper.due, lambda at: self.wake(partition, offsets))

    def wake(self, partition: PartitionQueue, offsets: Iterable[int]) -> None:
        """The time of these sleepers has come."""
        partition.sleepers.wake(offsets)
        self.waking.add(partition.number)

    @staticmethod
    def _delay_over(partition: PartitionQueue, offsets: list[int], now: float) -> None:
        for offset in offsets:
            delayed = partition.delayed.pop(offset, None)
            if delayed is not None:
                # Others had the delay to come: who failed it has no longer to wait for them, only to stand back.
                partition.give_back(delayed.message, barred=delayed.failed_by, until=now, group=delayed.group)

    def _take_back(self, run: LeaseRun, messages: Sequence[Message], now: float, *, barred: bool) -> None:
        partition = self._partitions[run.partition]
        until = now + self._limits.other_client_wait
        failed_by, group = (run.client, run.group) if barred else (None, "")
        for message in messages:
            del partition.in_flight[message.offset]
            if not run.handed_over:
                partition.give_back(message, barred=failed_by, until=until, group=group)
        if run.handed_over:
            # Read anew whoever comes first: the fetches may be far from it, or stand still.
            self._put_to_sleep(partition, messages, Sleeper(failed_by, now, until, group))
        if barred and self._waking_at != until:
            # Once for all that fail at one time: there is nothing to do then but to look again who may have what.
            self._waking_at = until
            self._deadlines.set(until, _nothing)
        self._end(run, len(messages), now)

    def settle_leased(self, run: LeaseRun, messages: Sequence[Message], now: float) -> None:
        """These messages of one run, ascending and all live, are done."""
        partition = self._partitions[run.partition]
        in_flight = partition.in_flight
        offsets = [message.offset for message in messages]
        for offset in offsets:
            del in_flight[offset]
        partition.bytes_held -= sum(map(size_of, messages))
        partition.settle(offsets)
        self._end(run, len(messages), now)

    def settle_one(self, number: int, offset: int, now: float) -> None:
        """This message is done, whoever has it at the moment, and even if it was not fetched yet."""
        partition = self._partitions[number]
        run = partition.in_flight.get(offset)
        if run is not None:
            self.settle_leased(run, [run.message(offset)], now)
        else:
            partition.forget(offset)
            partition.settle((offset,))

    def extend(self, run: LeaseRun, messages: Sequence[Message], ack_wait: float, now: float) -> None:
        """Let leases of one run end ``ack_wait`` from now."""
        if len(messages) == run.live:
            run.ack_wait = ack_wait
            self._ends_at(run, now + ack_wait)
        else:
            for message in messages:
                self.split(run, message.offset, ack_wait, now)

    def split(self, run: LeaseRun, offset: int, ack_wait: float, now: float) -> LeaseRun:
        """Give one message of a run a lease with an end of its own."""
        partition = self._partitions[run.partition]
        single = LeaseRun(
            batch=run.batch,
            partition=run.partition,
            era=run.era,
            client=run.client,
            group=run.group,
            messages=[run.message(offset)],
            delivery_count=run.delivery_count,
            delivered_at=run.delivered_at,
            ack_wait=ack_wait,
            handed_over=run.handed_over,
        )
        self._ends_at(single, now + ack_wait)
        partition.in_flight[offset] = single
        run.live -= 1
        if not run.live:
            run.alarm.cancel()
        if not run.handed_over:
            splits = self.answers[run.batch].splits
            if not run.live and run in splits:
                splits.remove(run)
            splits.append(single)
        return single

    def _end(self, run: LeaseRun, count: int, now: float) -> None:
        """Leases of a run are over; its messages have been moved elsewhere."""
        run.live -= count
        if not run.live:
            run.alarm.cancel()
        client = self._clients[run.client]
        self._clients.gave_up(client, count, now)
        self._holds_more_or_less(client)
        if run.handed_over:
            return
        answer = self.answers[run.batch]
        answer.live -= count
        if not answer.live:
            del self.answers[run.batch]
            if answer.receive_id:
                self.received.over(answer)

    def drop(self, partition: PartitionQueue, now: float) -> None:
        """The partition is somebody else's: its leases end, uncounted."""
        for run in set(partition.in_flight.values()):
            self._end(run, run.live, now)
        self.acked_batches.drop(partition.number)


def _nothing(now: float) -> None:
    pass


def _by_delivery_count(ledger: PartitionLedger, messages: list[Message]) -> Iterable[tuple[int, list[Message]]]:
    """Group messages by what this delivery of them is counted as; ascending offsets stay ascending."""
    if not ledger.failures:
        return ((1, messages),)
    groups: dict[int, list[Message]] = {}
    for message in messages:
        groups.setdefault(ledger.delivery_count(message.offset), []).append(message)
    return groups.items()
