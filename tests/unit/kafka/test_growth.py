"""Partitions that are added to the source, seen by one worker of several, with and without the right to follow."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError

from fanout_app.core.errors import StartError
from fanout_app.kafka.assignor import LedgerAssignor
from fanout_app.kafka.growth import Growth
from fanout_app.kafka.transport import latest


class Kafka:
    """Two topics, and the group that looks at them."""

    def __init__(self) -> None:
        self.topics = {"source": 2, "changelog": 2}
        self.noticed: list[Mapping[str, int]] = []
        self.raised: list[int] = []
        #: What the worker was told that its topic has.
        self.served: list[int] = []
        self.refuses = False
        self.answers = True
        #: What the broker that the group asks knows; None: all.
        self.known_to_group: dict[str, int] | None = None

    async def counts(self, topics: list[str]) -> Mapping[str, int]:
        if not self.answers:
            raise KafkaConnectionError
        return {topic: self.topics[topic] for topic in topics if topic in self.topics}

    async def raise_to(self, partitions: int) -> None:
        if self.refuses:
            raise StartError("have it done with: kafka-topics.sh")
        self.raised.append(partitions)
        self.topics["changelog"] = partitions

    async def take_notice(self, topics: list[str]) -> Mapping[str, int]:
        seen = await self.counts(topics) if self.known_to_group is None else self.known_to_group
        self.noticed.append(dict(seen))
        return seen


@pytest.fixture
def kafka() -> Kafka:
    return Kafka()


@pytest.fixture
async def growth(kafka: Kafka) -> Growth:
    """One whose group has seen the two partitions that there are."""
    growth = Growth(
        "source",
        "changelog",
        counts=kafka.counts,
        raise_to=kafka.raise_to,
        take_notice=kafka.take_notice,
        noticed=kafka.served.append,
    )
    await growth.look()
    assert kafka.served == [2]
    kafka.noticed.clear()
    return growth


async def test_the_changelog_gets_as_many_and_then_the_group_takes_notice(kafka: Kafka, growth: Growth) -> None:
    kafka.topics["source"] = 4
    await growth.look()
    assert kafka.raised == [4]
    assert kafka.noticed == []
    assert kafka.served == [2]
    for _ in range(3):
        await growth.look()
    assert kafka.raised == [4]
    assert kafka.noticed == [{"source": 4, "changelog": 4}]
    assert kafka.served == [2, 4]


async def test_a_changelog_that_another_worker_has_raised_is_only_taken_notice_of(kafka: Kafka, growth: Growth) -> None:
    kafka.topics = {"source": 4, "changelog": 4}
    await growth.look()
    assert kafka.raised == []
    assert len(kafka.noticed) == 1


async def test_the_group_is_made_to_look_until_it_has_seen_them(kafka: Kafka, growth: Growth) -> None:
    """The broker that it asks may be behind the one that was asked here."""
    kafka.topics = {"source": 4, "changelog": 4}
    kafka.known_to_group = {"source": 4, "changelog": 2}
    await growth.look()
    await growth.look()
    assert kafka.served == [2]
    kafka.known_to_group = None
    await growth.look()
    await growth.look()
    assert len(kafka.noticed) == 3


async def test_who_has_no_right_to_says_so_once_and_follows_who_has(
    kafka: Kafka, growth: Growth, caplog: pytest.LogCaptureFixture
) -> None:
    kafka.refuses = True
    kafka.topics["source"] = 4
    for _ in range(3):
        await growth.look()
    [line] = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert "partitions of topic source are not served yet" in line
    assert "kafka-topics.sh" in line
    kafka.topics["changelog"] = 4
    await growth.look()
    assert kafka.noticed == [{"source": 4, "changelog": 4}]


async def test_a_broker_that_does_not_answer_and_a_topic_that_is_gone_change_nothing(
    kafka: Kafka, growth: Growth
) -> None:
    kafka.answers = False
    await growth.look()
    kafka.answers = True
    del kafka.topics["changelog"]
    kafka.topics["source"] = 4
    await growth.look()
    assert not kafka.raised
    assert not kafka.noticed


class TestAssignor:
    @staticmethod
    def grouped(**counts: int) -> dict[int, list[set[str]]]:
        cluster = SimpleNamespace(partitions_for_topic=lambda topic: set(range(counts[topic])) or None)
        subscriptions = {member: list(counts) for member in ("one", "two")}
        groups = LedgerAssignor._get_copartitioned_groups(set(counts), cluster, subscriptions)
        return {partitions: [set(group) for group in together] for partitions, together in groups.items()}

    def test_source_and_changelog_are_assigned_together_also_while_one_has_more(self) -> None:
        assert self.grouped(source=4, changelog=4) == {4: [{"source", "changelog"}]}
        assert self.grouped(source=4, changelog=2) == {2: [{"source", "changelog"}]}

    def test_while_one_of_them_is_not_there_nobody_has_anything(self) -> None:
        assert self.grouped(source=4, changelog=0) == {}


def test_of_a_changelog_the_last_record_of_each_key_is_enough() -> None:
    records = [SimpleNamespace(key=key, offset=offset) for offset, key in enumerate([b"a", b"b", b"a", b"c", b"b"])]
    assert [(one.key, one.offset) for one in latest(records)] == [(b"a", 2), (b"c", 3), (b"b", 4)]
