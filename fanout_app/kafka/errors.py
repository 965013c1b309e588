"""What Kafka's clients raise, as the runtime's own error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka.errors import KafkaError
from faust.exceptions import FaustError

from fanout_app.ports import SourceError


@contextmanager
def as_source_error() -> Iterator[None]:
    """Around every call that the runtime may make again."""
    try:
        yield
    except (KafkaError, FaustError) as error:
        raise SourceError(repr(error)) from error
