"""The options that say how much a client may ask of the web server before its request is looked at."""

from __future__ import annotations

import click

from fanout_app.option_types import option, size, time

CONNECTION_OPTIONS: tuple[click.Option, ...] = (
    option(
        "max-connections",
        "Connections that may be open at once; a further one takes the place of the one idle for longest, or is "
        "answered 503 where none is idle. Default: twice --max-waiting.",
        default=None,
        type=click.IntRange(10, 2_000_000),
    ),
    option(
        "request-timeout",
        "How long the head of a request may take to arrive, and then its body; a slower one is answered 408.",
        default="10s",
        show_default=True,
        type=time(0.1, 3600, "10s"),
    ),
    option(
        "answer-timeout",
        "How long a client may take nothing of an answer that waits to leave; then it is hung up on, and messages in "
        "that answer go to others.",
        default="30s",
        show_default=True,
        type=time(0.1, 3600, "30s"),
    ),
    option(
        "idle-timeout",
        "How long a connection stays open between two requests, and before the first one.",
        default="2m",
        show_default=True,
        type=time(1, 86400, "2m"),
    ),
    option(
        "max-header-size",
        "Size of the first line of a request, and of each of its headers; a longer one is answered 400.",
        default="8KiB",
        show_default=True,
        type=size(1 << 10, 1 << 20, "8KiB"),
    ),
    option(
        "max-body-size",
        "Size of the body of a request, unpacked; a larger one is answered 413.",
        default="4MiB",
        show_default=True,
        type=size(64 << 10, 1 << 30, "4MiB"),
    ),
    option(
        "max-streams",
        "Streams of events, of which each open dashboard has one, that may be open at once; a further one is answered "
        "429.",
        default=20,
        show_default=True,
        type=click.IntRange(1, 1000),
    ),
)
