"""Lease and batch tokens: what a client hands back, checkable by any worker that has the key.

A lease token is a head (40 characters) and a tail (12). The head names key, partition, era, delivery count, batch and
a block of 256 offsets; the tail the place in the block and a tag. The tags of a block are one keystream, drawn from
the key and the head, so the MAC is paid once a block instead of once a message, and neither head nor tail can be
changed or joined with another without the tag being wrong. A token is a function of its lease: writing the same
lease again, on any worker with the same key, gives the same token.

Id and topic are in the keystream and the stamp only. The stamp tells a token of another id and topic, or a damaged
one, from one whose key this worker has not read yet: the first is unknown for good, the second wants a retry.
"""

from __future__ import annotations

from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections import OrderedDict
from enum import Enum
from hashlib import sha256, shake_256
from hmac import compare_digest
from itertools import groupby
from struct import Struct
from typing import Final, NamedTuple

from fanout_app.core.lease import Answer, LeaseRun
from fanout_app.core.requests import BatchRef, LeaseRef, Ref
from fanout_app.lease_keys import LeaseKeys

_BLOCK: Final = 256
#: Bytes of a tag: one guess in 2**56, each of them a request.
_TAG: Final = 7
#: stamp, key id, partition, era, first offset of the block, delivery count, batch
_HEAD: Final = Struct(">2s2sIIQHQ")
_HEAD_CHARS: Final = 40
_TAIL_CHARS: Final = 12
_TAIL_BYTES: Final = 2 + _TAG
#: stamp, key id, partition, batch, one spare byte that makes the whole divisible by three (base64 without padding)
_BATCH: Final = Struct(">2s2sIQx")
_BATCH_MAC: Final = 16
_BATCH_CHARS: Final = 44
_HIGHEST_COUNT: Final = 0xFFFF
#: Heads whose keystream is kept, so that acking many leases of one pull one by one pays for it once.
_KEPT_HEADS: Final = 256
#: Batch tokens that were written and are known without a proof: some 300 bytes each.
_KEPT_BATCHES: Final = 4096

#: Takes the URL-safe alphabet to base64's own, and everything else, base64's own "+" and "/" included, to what the
#: strict decoder refuses: each token has one spelling.
_TO_BASE64: Final = bytes(
    byte if chr(byte).isascii() and chr(byte).isalnum() else {ord("-"): ord("+"), ord("_"): ord("/")}.get(byte, 0)
    for byte in range(256)
)
_FROM_BASE64: Final = bytes.maketrans(b"+/", b"-_")


class UnknownKey(Enum):
    """A token that is ours by its stamp, signed with a key that this worker does not have (yet)."""

    UNKNOWN_KEY = "signed with a key this worker has not read yet"


class _Head(NamedTuple):
    """A head that has been taken apart, with the tags of its block. Says nothing of whether it is genuine."""

    partition: int
    era: int
    base: int
    delivery_count: int
    batch: int
    tags: bytes


class TokenCodec:
    """Writes and reads the tokens of one id and topic."""

    def __init__(self, keys: LeaseKeys, id: str, topic: str) -> None:
        #: Lengths keep ("a", "bc") and ("ab", "c") apart.
        self._place = f"{len(id.encode())}:{id}{len(topic.encode())}:{topic}".encode()
        self.use(keys)

    def use(self, keys: LeaseKeys) -> None:
        """Go on with these keys (the file has changed)."""
        self._keys = keys
        key_id = keys.signing_id
        self._lease_stamp = self._stamp(b"lease", key_id)
        self._batch_stamp = self._stamp(b"batch", key_id)
        self._heads: dict[str, _Head] = {}
        self._batches: OrderedDict[str, BatchRef] = OrderedDict()

    # Writing ---------------------------------------------------------------------------------------------------------

    def leases(self, run: LeaseRun) -> list[str]:
        """The token of each message of a run, in its order."""
        messages = run.messages
        if not messages:
            return []
        if len(messages) == 1:
            return [self._token(run.partition, run.era, messages[0].offset, run.delivery_count, run.batch)]
        first = messages[0].offset
        last = messages[-1].offset
        if last - first + 1 != len(messages):
            return self._scattered(run, [message.offset for message in messages])
        tokens: list[str] = []
        while first <= last:
            base = first - first % _BLOCK
            stop = min(last + 1, base + _BLOCK)
            tokens += self._stretch(run, base, first - base, stop - base)
            first = stop
        return tokens

    def lease(self, ref: LeaseRef) -> str:
        """The token of one lease: the same as the one it was handed out with."""
        return self._token(ref.partition, ref.era, ref.offset, ref.delivery_count, ref.batch)

    def _token(self, partition: int, era: int, offset: int, delivery_count: int, batch: int) -> str:
        delta = offset % _BLOCK
        head = self._head(partition, era, offset - delta, delivery_count, batch)
        tags = self._tags(self._keys.signing_id, head, delta + 1)
        return _text(head + delta.to_bytes(2) + tags[-_TAG:])

    def batch(self, answer: Answer) -> str:
        """The token of a whole answer; its owner is found by the first partition in it."""
        partition = answer.runs[0].partition
        head = _BATCH.pack(self._batch_stamp, self._keys.signing_id, partition, answer.batch)
        token = _text(head + self._batch_mac(self._keys.signing_id, head))
        self._remember(token, BatchRef(partition, answer.batch))
        return token

    def _remember(self, token: str, ref: BatchRef) -> None:
        """Most batches come back here, once and soon: then nothing needs to be taken apart and proven again."""
        if len(self._batches) >= _KEPT_BATCHES:
            self._batches.popitem(last=False)
        self._batches[token] = ref

    def _stretch(self, run: LeaseRun, base: int, start: int, stop: int) -> list[str]:
        """Tokens of neighbouring offsets of one block, without a loop over them: each column of bytes at one go."""
        head = self._head(run.partition, run.era, base, run.delivery_count, run.batch)
        tags = self._tags(self._keys.signing_id, head, stop)
        tails = bytearray(_TAIL_BYTES * (stop - start))
        tails[1::_TAIL_BYTES] = bytes(range(start, stop))
        for column in range(_TAG):
            tails[2 + column :: _TAIL_BYTES] = tags[_TAG * start + column :: _TAG]
        front = _text(head)
        text = _text(tails)
        return [front + text[at : at + _TAIL_CHARS] for at in range(0, len(text), _TAIL_CHARS)]

    def _scattered(self, run: LeaseRun, offsets: list[int]) -> list[str]:
        tokens: list[str] = []
        for number, block in groupby(offsets, lambda offset: offset // _BLOCK):
            head = self._head(run.partition, run.era, number * _BLOCK, run.delivery_count, run.batch)
            deltas = [offset % _BLOCK for offset in block]
            tags = self._tags(self._keys.signing_id, head, deltas[-1] + 1)
            tails = b"".join([delta.to_bytes(2) + tags[_TAG * delta : _TAG * (delta + 1)] for delta in deltas])
            front = _text(head)
            text = _text(tails)
            tokens += [front + text[at : at + _TAIL_CHARS] for at in range(0, len(text), _TAIL_CHARS)]
        return tokens

    def _head(self, partition: int, era: int, base: int, delivery_count: int, batch: int) -> bytes:
        count = min(delivery_count, _HIGHEST_COUNT)
        return _HEAD.pack(self._lease_stamp, self._keys.signing_id, partition, era, base, count, batch)

    # Reading ---------------------------------------------------------------------------------------------------------

    def read(self, token: str) -> Ref | UnknownKey | None:
        """What a token names; None for one that this id and topic never gave."""
        if len(token) == _HEAD_CHARS + _TAIL_CHARS:
            return self._read_lease(token)
        if len(token) == _BATCH_CHARS:
            return self._read_batch(token)
        return None

    def _read_lease(self, token: str) -> LeaseRef | UnknownKey | None:
        front = token[:_HEAD_CHARS]
        head = self._heads.get(front)
        if head is None:
            found = self._open_head(front)
            if not isinstance(found, _Head):
                return found
            head = self._keep(front, found)
        tail = _bytes(token[_HEAD_CHARS:])
        if tail is None or tail[0]:
            return None
        delta = tail[1]
        if not compare_digest(tail[2:], head.tags[_TAG * delta : _TAG * (delta + 1)]):
            return None
        return LeaseRef(head.partition, head.era, head.base + delta, head.delivery_count, head.batch)

    def _open_head(self, front: str) -> _Head | UnknownKey | None:
        raw = _bytes(front)
        if raw is None:
            return None
        stamp, key_id, partition, era, base, delivery_count, batch = _HEAD.unpack(raw)
        if stamp != self._stamp(b"lease", key_id):
            return None
        if key_id not in self._keys.by_id:
            return UnknownKey.UNKNOWN_KEY
        return _Head(partition, era, base, delivery_count, batch, self._tags(key_id, raw, _BLOCK))

    def _keep(self, front: str, head: _Head) -> _Head:
        if len(self._heads) >= _KEPT_HEADS:
            self._heads.clear()
        self._heads[front] = head
        return head

    def _read_batch(self, token: str) -> BatchRef | UnknownKey | None:
        remembered = self._batches.pop(token, None)
        if remembered is not None:
            return remembered
        raw = _bytes(token)
        if raw is None:
            return None
        head, mac = raw[: _BATCH.size], raw[_BATCH.size :]
        stamp, key_id, partition, batch = _BATCH.unpack(head)
        if stamp != self._stamp(b"batch", key_id):
            return None
        if key_id not in self._keys.by_id:
            return UnknownKey.UNKNOWN_KEY
        return BatchRef(partition, batch) if compare_digest(mac, self._batch_mac(key_id, head)) else None

    # Keyed functions -------------------------------------------------------------------------------------------------

    def _stamp(self, kind: bytes, key_id: bytes) -> bytes:
        """No proof of anything: it tells apart what needs no key to be told apart."""
        return sha256(b"fanout token 1 " + kind + key_id + self._place).digest()[:2]

    def _tags(self, key_id: bytes, head: bytes, count: int) -> bytes:
        """The first tags of a block. SHAKE is a sponge: a key in front of what it covers makes it a keyed function."""
        return shake_256(self._keys.by_id[key_id] + b"lease" + head + self._place).digest(_TAG * count)

    def _batch_mac(self, key_id: bytes, head: bytes) -> bytes:
        return shake_256(self._keys.by_id[key_id] + b"batch" + head + self._place).digest(_BATCH_MAC)


def _text(raw: bytes | bytearray) -> str:
    return b2a_base64(raw, newline=False).translate(_FROM_BASE64).decode("ascii")


def _bytes(text: str) -> bytes | None:
    try:
        return a2b_base64(text.encode("ascii").translate(_TO_BASE64), strict_mode=True)
    except (UnicodeEncodeError, Base64Error):
        return None
