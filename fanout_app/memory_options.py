"""The options of the command ``fanout`` that need no Kafka."""

from __future__ import annotations

import click

MEMORY_OPTIONS: tuple[click.Option, ...] = (
    click.Option(
        ["--memory"],
        is_flag=True,
        default=False,
        help="Serve a topic in this process, without Kafka: for tests and for a first look. POST /v1/produce fills it, "
        "and all of it is gone when the process ends.",
    ),
    click.Option(
        ["--memory-partitions"],
        default=1,
        show_default=True,
        type=click.IntRange(1, 1000),
        help="Partitions of the topic of --memory.",
    ),
)
