from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PullRequest(_message.Message):
    __slots__ = ("client", "group", "wait_ms", "max_messages", "max_bytes", "ack_wait_ms", "settle", "receive_id", "repeat")
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    ACK_WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    SETTLE_FIELD_NUMBER: _ClassVar[int]
    RECEIVE_ID_FIELD_NUMBER: _ClassVar[int]
    REPEAT_FIELD_NUMBER: _ClassVar[int]
    client: str
    group: str
    wait_ms: int
    max_messages: int
    max_bytes: int
    ack_wait_ms: int
    settle: SettleRequest
    receive_id: str
    repeat: bool
    def __init__(self, client: _Optional[str] = ..., group: _Optional[str] = ..., wait_ms: _Optional[int] = ..., max_messages: _Optional[int] = ..., max_bytes: _Optional[int] = ..., ack_wait_ms: _Optional[int] = ..., settle: _Optional[_Union[SettleRequest, _Mapping]] = ..., receive_id: _Optional[str] = ..., repeat: _Optional[bool] = ...) -> None: ...

class PullAnswer(_message.Message):
    __slots__ = ("topic", "id", "client", "batch", "messages", "empty", "settled")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    EMPTY_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    topic: str
    id: str
    client: str
    batch: str
    messages: _containers.RepeatedCompositeFieldContainer[Message]
    empty: str
    settled: SettleAnswer
    def __init__(self, topic: _Optional[str] = ..., id: _Optional[str] = ..., client: _Optional[str] = ..., batch: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[Message, _Mapping]]] = ..., empty: _Optional[str] = ..., settled: _Optional[_Union[SettleAnswer, _Mapping]] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("lease", "partition", "offset", "timestamp_unix_ms", "delivery_count", "lease_ends_unix_ms", "key", "value", "headers")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_COUNT_FIELD_NUMBER: _ClassVar[int]
    LEASE_ENDS_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    lease: str
    partition: int
    offset: int
    timestamp_unix_ms: int
    delivery_count: int
    lease_ends_unix_ms: int
    key: bytes
    value: bytes
    headers: _containers.RepeatedCompositeFieldContainer[Header]
    def __init__(self, lease: _Optional[str] = ..., partition: _Optional[int] = ..., offset: _Optional[int] = ..., timestamp_unix_ms: _Optional[int] = ..., delivery_count: _Optional[int] = ..., lease_ends_unix_ms: _Optional[int] = ..., key: _Optional[bytes] = ..., value: _Optional[bytes] = ..., headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ...) -> None: ...

class Header(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: bytes
    def __init__(self, name: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...

class SettleRequest(_message.Message):
    __slots__ = ("ack", "nack", "extend", "reject", "durable")
    ACK_FIELD_NUMBER: _ClassVar[int]
    NACK_FIELD_NUMBER: _ClassVar[int]
    EXTEND_FIELD_NUMBER: _ClassVar[int]
    REJECT_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    ack: _containers.RepeatedScalarFieldContainer[str]
    nack: _containers.RepeatedCompositeFieldContainer[Nack]
    extend: _containers.RepeatedCompositeFieldContainer[Extend]
    reject: _containers.RepeatedCompositeFieldContainer[Reject]
    durable: bool
    def __init__(self, ack: _Optional[_Iterable[str]] = ..., nack: _Optional[_Iterable[_Union[Nack, _Mapping]]] = ..., extend: _Optional[_Iterable[_Union[Extend, _Mapping]]] = ..., reject: _Optional[_Iterable[_Union[Reject, _Mapping]]] = ..., durable: _Optional[bool] = ...) -> None: ...

class Nack(_message.Message):
    __slots__ = ("lease", "delay_ms", "reason")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    lease: str
    delay_ms: int
    reason: str
    def __init__(self, lease: _Optional[str] = ..., delay_ms: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class Extend(_message.Message):
    __slots__ = ("lease", "ack_wait_ms")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    ACK_WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    lease: str
    ack_wait_ms: int
    def __init__(self, lease: _Optional[str] = ..., ack_wait_ms: _Optional[int] = ...) -> None: ...

class Reject(_message.Message):
    __slots__ = ("lease", "reason")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    lease: str
    reason: str
    def __init__(self, lease: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class SettleAnswer(_message.Message):
    __slots__ = ("acked", "nacked", "extended", "rejected", "results")
    ACKED_FIELD_NUMBER: _ClassVar[int]
    NACKED_FIELD_NUMBER: _ClassVar[int]
    EXTENDED_FIELD_NUMBER: _ClassVar[int]
    REJECTED_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    acked: int
    nacked: int
    extended: int
    rejected: int
    results: _containers.RepeatedCompositeFieldContainer[Result]
    def __init__(self, acked: _Optional[int] = ..., nacked: _Optional[int] = ..., extended: _Optional[int] = ..., rejected: _Optional[int] = ..., results: _Optional[_Iterable[_Union[Result, _Mapping]]] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("lease", "status")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    lease: str
    status: str
    def __init__(self, lease: _Optional[str] = ..., status: _Optional[str] = ...) -> None: ...
