"""A start of somebody whom Kafka does not allow what a worker needs is told which command allows it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.failed_start import AT_ONCE, last_line
from support.kafka import Kafka
from support.stack import Stack, kafka_tool, running_stack
from support.workers import Workers


@pytest.fixture(scope="module")
def guarded() -> Iterator[Stack]:
    """A broker that makes the topics it is asked about, and that knows rights.

    Where nothing says who may do what, everybody may: a first rule is what takes everything else away.
    """
    options = ("authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
               "allow.everyone.if.no.acl.found=true", "auto.create.topics.enable=true")  # fmt: skip
    with running_stack(zookeeper=0, broker_options=options) as stack:
        # The broker itself is this user too, and goes on with these.
        allow(stack, "--cluster", "ClusterAction", "Describe", "DescribeConfigs", "Alter", "AlterConfigs")
        yield stack


def allow(stack: Stack, *what: str) -> None:
    """Allow on this resource these operations, and none but these and those allowed before."""
    at = next(index for index, word in enumerate(what) if word[0].isupper())
    operations = [part for name in what[at:] for part in ("--operation", name)]
    kafka_tool(
        "AclCommand", "--bootstrap-server", stack.brokers, "--add", "--allow-principal", "User:ANONYMOUS",
        *operations, *what[:at],
    )  # fmt: skip


async def test_whoever_may_not_create_topics_is_shown_every_command_that_does(guarded: Stack, workers: Workers) -> None:
    async with Kafka(guarded.brokers) as kafka:
        topic = await kafka.new_topic(2)
    allow(guarded, "--topic", "fanout_make", "--resource-pattern-type", "prefixed", "Read", "Write", "Describe")
    line = await last_line(workers.launch(topic, id="make", brokers=guarded.brokers))
    assert "no right to" in line
    for name, partitions in ((f"fanout_make_{topic}-ledgers-changelog", 2), (f"fanout_make_{topic}", 1)):
        assert (
            f"kafka-topics.sh --bootstrap-server {guarded.brokers} --create --topic {name} --partitions {partitions} "
            "--replication-factor 1 --config cleanup.policy=compact"
        ) in line
    assert f"--create --topic fanout_make_{topic}-parked --partitions 1" in line


async def test_topics_that_somebody_with_the_right_has_made_are_enough(guarded: Stack, workers: Workers) -> None:
    async with Kafka(guarded.brokers) as kafka:
        topic = await kafka.new_topic(1)
        for suffix in ("-ledgers-changelog", "-parked", ""):
            await kafka.make_topic(f"fanout_made_{topic}{suffix}", 1, cleanup_policy="compact")
    rights = ("Read", "Write", "Describe", "DescribeConfigs")
    allow(guarded, "--topic", "fanout_made", "--resource-pattern-type", "prefixed", *rights)
    worker = workers.launch(topic, id="made", brokers=guarded.brokers, drain="0s")
    await worker.ready(AT_ONCE)
    assert (await worker.terminate()).code == 0


async def test_whoever_may_not_read_the_topic_or_be_in_the_group_is_shown_the_command_that_allows_it(
    guarded: Stack, workers: Workers
) -> None:
    async with Kafka(guarded.brokers) as kafka:
        unread, topic = await kafka.new_topic(1), await kafka.new_topic(1)
    allow(guarded, "--topic", unread, "Describe", "DescribeConfigs")
    allow(guarded, "--group", f"fanout_service_{topic}", "Describe")
    not_read = workers.launch(unread, brokers=guarded.brokers)
    no_member = workers.launch(topic, brokers=guarded.brokers)
    assert f"--operation Read --operation Describe --topic {unread}" in await last_line(not_read)
    assert f"--operation Read --operation Describe --group fanout_service_{topic}" in await last_line(no_member)


async def test_a_topic_that_was_asked_for_is_not_made_by_asking(guarded: Stack, workers: Workers) -> None:
    for _ in range(2):
        line = await last_line(workers.launch("nobody-made-this", brokers=guarded.brokers))
        assert "--create --topic nobody-made-this" in line


async def test_whoever_may_not_raise_the_partitions_of_a_changelog_is_shown_the_command_that_does(
    guarded: Stack, workers: Workers
) -> None:
    async with Kafka(guarded.brokers) as kafka:
        topic = await kafka.new_topic(3)
        await kafka.make_topic(f"fanout_few_{topic}-ledgers-changelog", 1, cleanup_policy="compact")
    allow(guarded, "--topic", "fanout_few", "--resource-pattern-type", "prefixed", "Read", "Write", "Describe")
    line = await last_line(workers.launch(topic, id="few", brokers=guarded.brokers))
    assert "no right to" in line
    assert (
        f"kafka-topics.sh --bootstrap-server {guarded.brokers} --alter --topic fanout_few_{topic}-ledgers-changelog "
        "--partitions 3"
    ) in line
