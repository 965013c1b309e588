"""A parked message as a record: whole enough to be written back as it was, and under a key that names it once.

The key is partition, offset, timestamp and CRC of the message, so that one that is parked twice (a crash between the
write and the settle) is one, and a message of a topic made anew does not take the place of an older one; with broadcast
the group too, since each may give up on it by itself. Our headers
come first, in a fixed order, and the last of them counts those of the message, which follow: whatever these are called,
they cannot be taken for ours. The value is the message's own; a null value would delete the record, so it is an empty
one with a header that says so.
"""

from __future__ import annotations

from typing import NamedTuple

from fanout_app.core.message import Message
from fanout_app.core.parked import ParkedMessage
from fanout_app.core.witness import witness_of
from fanout_app.kafka.dead_letters import GROUP, origin_headers

_FORMAT = ("fanout-parked", b"1")
_KEY = "fanout-key"
_NULL = ("fanout-null", b"1")
_COUNT = "fanout-headers"


class Record(NamedTuple):
    """What is written."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes | None]]


def encode(
    topic: str, partition: int, message: Message, *, delivery_count: int, reason: str, client: str, group: str = ""
) -> Record:
    origin = origin_headers(
        topic, partition, message, delivery_count=delivery_count, reason=reason, client=client, group=group
    )
    headers: list[tuple[str, bytes | None]] = [_FORMAT, *origin]
    if message.key is not None:
        headers.append((_KEY, message.key))
    if message.value is None:
        headers.append(_NULL)
    headers.append((_COUNT, b"%d" % len(message.headers)))
    witness = witness_of(message)
    key = b"%d/%d/%d/%08x" % (partition, witness.offset, witness.timestamp, witness.crc)
    if group:
        key += b"/" + group.encode()
    return Record(key, message.value or b"", [*headers, *message.headers])


def is_parked(record: Message) -> bool:
    """Whether this is a parked message, and not something that somebody else has written here."""
    return record.key is not None and record.value is not None and tuple(record.headers[:1]) == (_FORMAT,)


def decode(record: Message) -> ParkedMessage:
    """The message of a record that `is_parked`."""
    count = next(index for index, (name, _) in enumerate(record.headers) if name == _COUNT)
    ours = dict(record.headers[:count])
    return ParkedMessage(
        parked=record.offset,
        partition=_number(ours["fanout-partition"]),
        offset=_number(ours["fanout-offset"]),
        timestamp=_number(ours["fanout-timestamp"]),
        parked_at=record.timestamp,
        delivery_count=_number(ours["fanout-delivery-count"]),
        reason=(ours["fanout-reason"] or b"").decode(),
        client=(ours["fanout-client"] or b"").decode(),
        key=ours.get(_KEY),
        value=None if _NULL[0] in ours else record.value,
        headers=record.headers[count + 1 :],
        group=(ours.get(GROUP) or b"").decode(),
    )


def _number(value: bytes | None) -> int:
    return int(value or b"0")
