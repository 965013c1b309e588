"""A topic that is gone ends the worker; one that a broker does not know for a moment, or no answer, does not."""

from __future__ import annotations

import pytest
from aiokafka.errors import KafkaConnectionError

from fanout_app.kafka.topic_watch import TopicGoneError, TopicWatch


class Broker:
    def __init__(self) -> None:
        self.missing: set[str] = set()
        self.answers = True

    async def __call__(self, topics: list[str]) -> set[str]:
        if not self.answers:
            raise KafkaConnectionError
        return self.missing & set(topics)


async def test_a_topic_that_is_missing_three_times_in_a_row_is_gone() -> None:
    broker = Broker()
    watch = TopicWatch(["source", "changelog"], broker)
    await watch.look()
    broker.missing = {"changelog", "of somebody else"}
    await watch.look()
    await watch.look()
    with pytest.raises(TopicGoneError, match=r"^topic changelog was deleted.*start it again"):
        await watch.look()


async def test_a_topic_that_a_broker_does_not_know_for_a_moment_is_not_gone() -> None:
    broker = Broker()
    watch = TopicWatch(["source"], broker)
    for _ in range(5):
        broker.missing = {"source"}
        await watch.look()
        await watch.look()
        broker.missing = set()
        await watch.look()


async def test_a_broker_that_does_not_answer_says_nothing_about_topics() -> None:
    broker = Broker()
    watch = TopicWatch(["source"], broker)
    broker.answers = False
    for _ in range(10):
        await watch.look()
