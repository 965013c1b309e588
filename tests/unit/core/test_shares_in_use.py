"""Shares as the dispatcher keeps them, over many messages and clients, and what they cost."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import cycle

import pytest
from msgspec.structs import replace

from fanout_app.core.lanes import By
from fanout_app.core.lease import Answer
from fanout_app.core.limits import Limits
from fanout_app.core.requests import BatchRef, Entry, Settle
from support.messages import FakeMessage
from unit.core.desk import Desk

MESSAGES = 10_000
#: Hundreds of thousands of messages, and no branch of the core that others do not take: not worth being traced.
MANY = pytest.mark.no_cover


class Crowd:
    """Clients of some groups that ask all the time and ack at once, and a topic with a message a key."""

    def __init__(
        self, weights: Mapping[str, int], *, clients: int = 1, batches: Iterator[int], by: By = "message"
    ) -> None:
        self.desk = Desk(limits=Limits(max_ack_pending=1_000_000))
        self.desk.queue.set_weights(weights, by)
        self.batches = batches
        self.had: Counter[str] = Counter()
        self.offsets: dict[int, str] = {}
        #: The group of which all fail, and what it has failed.
        self.fails = ""
        self.failed: set[int] = set()
        for group in weights:
            for number in range(clients):
                self.wait(f"{group}-{number}", group)

    def wait(self, client: str, group: str) -> None:
        self.desk.wait(client, next(self.batches), group=group)

    def work(self, messages: int, *, at_once: int = 1000) -> Counter[str]:
        """How many of so many messages each group had."""
        queue, had = self.desk.queue, Counter[str]()
        while had.total() < messages:
            first = self.desk[0].next_offset
            if len(self.desk[0].fresh) < at_once:
                found = [FakeMessage(at, key=b"key %d" % at) for at in range(first, first + at_once)]
                assert queue.offer(0, first, first + at_once, found)
            handouts = queue.serve(self.desk.now)
            assert handouts
            for _, answer in handouts:
                had[answer.group] += len(answer)
                self._done(answer)
        return had

    def _done(self, answer: Answer) -> None:
        for run in answer.runs:
            self.offsets.update((message.offset, answer.group) for message in run.messages)
        done = [Entry(token="", ref=BatchRef(0, answer.batch))]
        if answer.group == self.fails:
            self.failed.update(message.offset for run in answer.runs for message in run.messages)
            self.desk.settle_all(Settle(nack=[replace(entry, delay=0.0) for entry in done]))
        else:
            self.desk.settle_all(Settle(ack=done))
        self.wait(answer.client, answer.group)


def up_to(most: int) -> Iterator[int]:
    chance = random.Random(most)
    while True:
        yield chance.randint(1, most)


@MANY
@pytest.mark.parametrize("clients", [1, 3, 64])
@pytest.mark.parametrize("batches", [1, 7, 100, 500, None])
def test_a_canary_of_five_percent_has_five_percent(clients: int, batches: int | None) -> None:
    crowd = Crowd({"stable": 95, "canary": 5}, clients=clients, batches=cycle([batches]) if batches else up_to(500))
    had = crowd.work(MESSAGES)
    assert abs(had["canary"] / had.total() - 0.05) <= 0.005


@MANY
@pytest.mark.parametrize("at_once", [1, 10, 5000])
def test_it_is_so_however_messages_come(at_once: int) -> None:
    had = Crowd({"stable": 95, "canary": 5}, clients=5, batches=up_to(20)).work(MESSAGES, at_once=at_once)
    assert abs(had["canary"] / had.total() - 0.05) <= 0.005


@MANY
@pytest.mark.parametrize(
    "weights",
    [
        {"stable": 999_999, "canary": 1},
        {"stable": 1, "canary": 1_000_000},
        {"stable": 1_000_000, "canary": 1_000_000},
        {"stable": 7, "A": 3, "B": 11},
        {"stable": 0, "A": 2, "B": 1},
        {"stable": 1, "canary": 2, "none": 0},
    ],
)
@pytest.mark.parametrize("batches", [1, 50])
def test_d08_awkward_weights(weights: Mapping[str, int], batches: int) -> None:
    # No more at once than anybody's hands hold: what a group cannot take stable may have.
    had = Crowd(weights, clients=4, batches=cycle([batches])).work(MESSAGES, at_once=batches)
    for group, weight in weights.items():
        wanted = weight / sum(weights.values())
        assert abs(had[group] / had.total() - wanted) <= 0.005
        assert weight or not had[group], "0 means none"


def test_by_key_a_canary_has_its_share_of_the_keys() -> None:
    crowd = Crowd({"stable": 95, "canary": 5}, clients=3, batches=up_to(100), by="key")
    had = crowd.work(MESSAGES)
    assert abs(had["canary"] / had.total() - 0.05) <= 0.01


def test_by_key_a_raised_weight_moves_keys_to_that_group_only() -> None:
    crowds = [Crowd({"stable": 60, "canary": canary, "other": 20}, batches=up_to(100), by="key") for canary in (10, 20)]
    for crowd in crowds:
        crowd.work(MESSAGES)
    before, after = (crowd.offsets for crowd in crowds)
    moved = [(before[at], after[at]) for at in range(MESSAGES - 1000) if before[at] != after[at]]
    assert {to for _, to in moved} == {"canary"}
    assert 0.05 < len(moved) / (MESSAGES - 1000) < 0.15


def test_a_canary_that_fails_all_it_gets_holds_up_no_more_than_its_share() -> None:
    """What it has failed goes to stable beside stable's share, not as a part of it."""
    crowd = Crowd({"stable": 80, "canary": 20}, clients=3, batches=up_to(50))
    crowd.fails = "canary"
    crowd.work(MESSAGES)
    assert abs(len(crowd.failed) / len(crowd.offsets) - 0.20) <= 0.005
