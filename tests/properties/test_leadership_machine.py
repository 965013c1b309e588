"""Leadership under everything that may happen to questions, records, sessions and workers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fanout_app.core.following import FORGET_AFTER
from properties.simulated_cluster import EVERY, LEASE, TIMEOUT, Cluster, One, Record

NAMES = "abc"
names = st.sampled_from(NAMES)
whose = st.sampled_from(range(1000))


class Leaderships(RuleBasedStateMachine):
    """The lock may pass on at any moment, as sessions expire and voters delete: safety is a matter of time alone."""

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster(NAMES)
        self.on_their_way: list[Record] = []

    @initialize(seconds=st.floats(0, 10))
    def begin(self, seconds: float) -> None:
        self.cluster.live(seconds)

    def _running(self, name: str) -> One | None:
        one = self.cluster.workers[name]
        return None if one.stopped else one

    @rule(seconds=st.floats(0.01, LEASE), heard=st.booleans())
    def time_passes(self, seconds: float, heard: bool) -> None:
        """And Kafka takes the heartbeats meanwhile, or not."""
        self.cluster.now += seconds
        for one in self.cluster.workers.values():
            if heard and not one.stopped:
                self.cluster.acknowledge(self.cluster.heartbeat(one))

    @rule(seconds=st.floats(EVERY, 2 * TIMEOUT))
    def all_is_well_for_a_while(self, seconds: float) -> None:
        self.cluster.live(seconds)

    @rule(name=names, stopped=st.booleans())
    def a_worker_stops_or_goes_on(self, name: str, stopped: bool) -> None:
        self.cluster.workers[name].stopped = stopped

    @rule()
    def the_lock_passes_on(self) -> None:
        """A session has expired, or somebody has deleted the node."""
        if self.cluster.lock:
            self.cluster.delete(self.cluster.lock[0][0])

    @rule(name=names)
    def a_worker_queues(self, name: str) -> None:
        if self._running(name):
            self.cluster.queue(name)

    @rule(name=names, after=st.floats(0, LEASE), late=st.floats(0, LEASE))
    def a_question_and_its_answer_take_their_time(self, name: str, after: float, late: float) -> None:
        if one := self._running(name):
            self.cluster.ask(one)
            self.cluster.now += after
            self.cluster.answer(one)
            self.cluster.now += late
            self.cluster.take_answer(one)

    @rule()
    def everybody_asks(self) -> None:
        for name in NAMES:
            self.a_question_and_its_answer_take_their_time(name, 0.0, 0.0)

    @rule(name=names, seconds=st.floats(0, LEASE))
    def the_lock_passes_on_while_an_answer_is_under_way(self, name: str, seconds: float) -> None:
        if one := self._running(name):
            self.cluster.ask(one)
            self.cluster.answer(one)
            self.the_lock_passes_on()
            for _ in range(2):
                for other in NAMES.replace(name, ""):
                    self.a_question_and_its_answer_take_their_time(other, 0.0, 0.0)
                self.time_passes(seconds, heard=True)
            self.cluster.take_answer(one)

    @rule(name=names)
    def the_connection_breaks(self, name: str) -> None:
        if one := self._running(name):
            one.leadership.suspended(self.cluster.now)

    @rule(name=names)
    def a_heartbeat_is_sent(self, name: str) -> None:
        if one := self._running(name):
            self.on_their_way.append(self.cluster.heartbeat(one))

    @rule(which=whose, acknowledged=st.booleans())
    def a_record_arrives(self, which: int, acknowledged: bool) -> None:
        if self.on_their_way:
            record = self.on_their_way.pop(which % len(self.on_their_way))
            self.cluster.arrive(record)
            if acknowledged:
                self.cluster.acknowledge(record)

    @rule(which=whose)
    def a_record_is_lost(self, which: int) -> None:
        if self.on_their_way:
            self.on_their_way.pop(which % len(self.on_their_way))

    @rule(name=names, most=st.integers(1, 20))
    def a_worker_reads_the_board(self, name: str, most: int) -> None:
        if one := self._running(name):
            self.cluster.read(one, most)

    @rule(name=names)
    def a_worker_votes(self, name: str) -> None:
        if one := self._running(name):
            self.cluster.vote(one)

    @invariant()
    def whoever_may_act_does(self) -> None:
        """After every step, and stopped workers too: they may be woken in this very moment."""
        for one in self.cluster.workers.values():
            if record := self.cluster.act(one):
                self.on_their_way.append(record)

    @invariant()
    def no_two_act_in_one_epoch(self) -> None:
        acting = {(act.epoch, act.worker) for act in self.cluster.acts}
        assert len({epoch for epoch, _ in acting}) == len(acting)

    @invariant()
    def no_epoch_acts_after_the_first_act_of_a_higher_one(self) -> None:
        acts = [(act.at, -act.epoch) for act in self.cluster.acts]
        latest = {at: -epoch for at, epoch in sorted(acts)}
        assert list(latest.values()) == sorted(latest.values())
        assert len({(at, epoch) for at, epoch in acts}) == len({at for at, _ in acts}), "two at the same moment"

    @invariant()
    def nobody_follows_a_smaller_epoch_again(self) -> None:
        for one in self.cluster.workers.values():
            for (earlier, epoch), (later, next_epoch) in pairwise(one.followed):
                assert next_epoch >= epoch or later >= earlier + FORGET_AFTER

    def teardown(self) -> None:
        """The faults end: somebody leads again, whom all follow."""
        for one in self.cluster.workers.values():
            one.stopped = False
        for record in self.on_their_way:
            self.cluster.arrive(record)
        self.cluster.live(4 * (LEASE + TIMEOUT))
        agreed = self.cluster.agreed()
        assert agreed is not None, "nobody leads although nothing goes wrong any more"
        assert self.cluster.acts[-1].epoch == agreed.epoch
        assert self.cluster.acts[-1].at > self.cluster.now - 2 * EVERY


TestLeaderships = Leaderships.TestCase


def test_a_leader_that_stands_still_while_its_session_lives_is_deposed() -> None:
    cluster = Cluster(NAMES)
    cluster.live(10)
    first = cluster.agreed()
    assert first is not None
    cluster.workers[first.worker].stopped = True
    stopped_at = cluster.now
    cluster.live(TIMEOUT + LEASE + 4 * EVERY)
    second = cluster.agreed()
    assert second is not None
    assert second.epoch > first.epoch
    assert second.worker != first.worker
    assert cluster.now - stopped_at < 6 + 3, "as soon as a killed one's session would have ended, and three seconds"


def test_whom_kafka_does_not_hear_makes_room_although_nobody_has_heard_of_its_epoch() -> None:
    cluster = Cluster(NAMES)
    cluster.live(10)
    first = cluster.agreed()
    assert first is not None
    second = cluster.workers[cluster.lock[1][1]]
    second.deaf = True
    cluster.workers[first.worker].stopped = True
    cluster.drop(first.worker)
    cluster.live(2 * (TIMEOUT + LEASE))
    third = cluster.agreed()
    assert third is not None
    assert third.worker not in (first.worker, second.name)
    assert second.name not in {act.worker for act in cluster.acts}
