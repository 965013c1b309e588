"""Between the messages of protobuf and what the views work with: plain values of requests, structs of answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from msgspec import Raw, Struct, UnsetType

from fanout_app.web.answers import PullAnswer, Settled, WireMessage
from fanout_app.web.protobuf import fanout_pb2 as pb
from fanout_app.web.schemas import PullBody, SettleBody

#: The bodies there are in protobuf. All else that can be asked is for people, who read JSON.
_REQUESTS: Final[Mapping[type[Struct], type[Message]]] = {PullBody: pb.PullRequest, SettleBody: pb.SettleRequest}


def speaks(kind: type[Struct]) -> bool:
    """Whether a request's body may be in protobuf."""
    return kind in _REQUESTS


def read(kind: type[Struct], raw: bytes) -> dict[str, Any]:
    """The fields that are set in a request; one that the schema does not have goes by its number.

    Raises:
        ValueError: these bytes are no protobuf.
    """
    try:
        return _plain(_REQUESTS[kind].FromString(raw))
    except DecodeError as error:
        raise ValueError(str(error)) from None


def _plain(message: Message) -> dict[str, Any]:
    unknown = UnknownFieldSet(message)
    plain: dict[str, Any] = {str(unknown[at].field_number): None for at in range(len(unknown))}
    for field, value in message.ListFields():
        if field.message_type is None:
            plain[field.name] = list(value) if field.is_repeated else value
        else:
            plain[field.name] = [_plain(entry) for entry in value] if field.is_repeated else _plain(value)
    return plain


def write(answer: PullAnswer | Settled) -> bytes:
    """The bytes of an answer."""
    return _pulled(answer) if isinstance(answer, PullAnswer) else _settled(answer).SerializeToString()


def _pulled(answer: PullAnswer) -> bytes:
    made = pb.PullAnswer(topic=answer.topic, id=answer.id, client=answer.client, batch=answer.batch)
    add = made.messages.add
    for message in answer.messages:
        _add(add, message)
    if not isinstance(answer.empty, UnsetType):
        made.empty = answer.empty
    if isinstance(answer.settled, Raw):
        made.settled.MergeFromString(bytes(answer.settled))
    elif not isinstance(answer.settled, UnsetType):
        made.settled.CopyFrom(_settled(answer.settled))
    return made.SerializeToString()


def _add(add: Callable[..., pb.Message], message: WireMessage) -> None:
    added = add(
        lease=message.lease,
        partition=message.partition,
        offset=message.offset,
        timestamp_unix_ms=message.timestamp_unix_ms,
        delivery_count=message.delivery_count,
        lease_ends_unix_ms=message.lease_ends_unix_ms,
        key=message.key,
        value=message.value,
    )
    for name, value in message.headers:
        added.headers.add(name=name, value=value)


def _settled(settled: Settled) -> pb.SettleAnswer:
    return pb.SettleAnswer(
        acked=settled.acked,
        nacked=settled.nacked,
        extended=settled.extended,
        rejected=settled.rejected,
        results=[pb.Result(lease=result.lease, status=result.status) for result in settled.results],
    )
