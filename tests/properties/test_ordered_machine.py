"""The same machine with order by key, and what that promises in words that know nothing of chains."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from fanout_app.core.requests import Entry, LeaseRef, Verb
from properties.machine_parts import Round, recent, rounds
from properties.naive_queue import Place
from properties.naive_shares import key_of
from properties.test_queue_machine import LIMITS, QueueMachine


class OrderedQueueMachine(QueueMachine):
    limits = replace(LIMITS, order_by_key=True)

    def __init__(self) -> None:
        #: By partition and era: what was ever settled, whether or not that was forgotten with a worker.
        self.handled: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
        #: Likewise: what was handed over when retention came before a fetch. Nobody could know its key.
        self.keyless: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
        super().__init__()

    def key_at(self, number: int, offset: int) -> bytes | None:
        size = self.logs[number].sizes[offset]
        return None if size is None else key_of(offset, size)

    @invariant()
    def take_note_of_what_is_handled(self) -> None:
        for number, partition in self.naive.partitions.items():
            self.handled[number, partition.era] |= partition.settled
            self.keyless[number, partition.era] |= {
                offset for offset, held in partition.held.items() if not held.passed and offset < partition.next_offset
            }

    def were_handed_out(self, refs: list[LeaseRef]) -> None:
        """Whatever is handed out, all earlier ones of its key have been handled: so they were handled in order."""
        self.take_note_of_what_is_handled()
        for ref in refs:
            partition, key = self.naive.partitions[ref.partition], self.key_at(ref.partition, ref.offset)
            excused = self.handled[ref.partition, ref.era] | self.keyless[ref.partition, ref.era]
            for earlier in range(partition.start, ref.offset) if key is not None else ():
                if self.key_at(ref.partition, earlier) == key:
                    assert earlier in excused, f"{ref} was handed out before {earlier}"

    @precondition(lambda self: self.handed)
    @rule(wish=rounds, backs=st.lists(recent, min_size=1, max_size=2))
    def killed_with_acks_in_memory(self, wish: Round, backs: list[int]) -> None:
        """What went out for these acks is acked at the next owner, where it has to wait for the same messages again."""
        live = [ref for ref in self.handed if self.naive.held_under(ref)]
        self._settle({Verb.ACK: [Entry(token=str(number), ref=ref) for number, ref in enumerate(live)]})
        self.pull(wish.client, wish.group, 4, 1000, wish.ack_wait, True)
        self.trouble("killed", 0, 0)
        for ref in self.handed[-4:]:
            self.fetch(ref.partition, wish.new, 6)
        self._settle({Verb.ACK: [Entry(token=str(at), ref=self._ref("lease", back)) for at, back in enumerate(backs)]})

    @precondition(lambda self: self.handed)
    @rule(back=recent, found=st.sampled_from(("all", "none")), wish=rounds)
    def one_sleeps(self, back: int, found: str, wish: Round) -> None:
        """Its key waits until it is read again, or found to exist no more."""
        self._settle({Verb.NACK: [Entry(token="nack", ref=self._ref("live lease", back), delay=3.0)]})
        self.round(wish)
        self.time_passes(5.0, False)
        self.round(wish)
        self.read_what_sleeps(3, True, found)
        self.serve()

    @precondition(lambda self: self.handed)
    @rule(back=recent, wish=rounds)
    def one_is_given_up_on(self, back: int, wish: Round) -> None:
        """Its key waits until it is where such messages go."""
        self.round(wish)
        for client in "ABCD":
            self._settle({Verb.NACK: [Entry(token="nack", ref=self._ref("live lease", back), delay=0.0)]})
            self.pull(client, wish.group, 1, 1000, wish.ack_wait, True)
        self.put_away_what_is_spent(True, back)
        self.serve()

    @invariant()
    def one_of_a_key_is_in_flight(self) -> None:
        for number, partition in self.naive.partitions.items():
            out = set(partition.at(Place.IN_FLIGHT)) - self.keyless[number, partition.era]
            keys = Counter(key for offset in out if (key := self.key_at(number, offset)) is not None)
            assert max(keys.values(), default=1) == 1

    @invariant()
    def nothing_is_blocked_without_a_reason(self) -> None:
        for number, partition in self.naive.partitions.items():
            for offset in partition.at(Place.BLOCKED):
                others = [o for o in partition.held if self.key_at(number, o) == self.key_at(number, offset)]
                assert any(partition.held[other].place is not Place.BLOCKED for other in others)


TestOrderedQueue = OrderedQueueMachine.TestCase
TestOrderedQueue.settings = settings(max_examples=max(1, settings().max_examples // 3))
