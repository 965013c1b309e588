"""What Kafka's clients raise, as the runtime's own error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka.errors import KafkaError, KafkaTimeoutError
from faust.exceptions import FaustError

from fanout_app.ports import SourceError


def is_refusal(error: KafkaError | FaustError) -> bool:
    """Whether Kafka has answered with this, and will answer the same to who asks again."""
    return isinstance(error, KafkaError) and not (error.retriable or isinstance(error, KafkaTimeoutError))


@contextmanager
def as_source_error() -> Iterator[None]:
    """Around every call that the runtime may make again."""
    try:
        yield
    except (KafkaError, FaustError) as error:
        raise SourceError(repr(error), refused=is_refusal(error)) from error
