"""Witnesses: records below the floor that are remembered, to notice later that the log is not the same any more.

A topic that was deleted and made anew has other records at these offsets, or none. So has one that was truncated, but
only from some offset on: therefore a few older witnesses are kept beside the latest, with growing distances, about the
logarithm of the offsets between. The best one below the change says from where on everything has to be read again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NamedTuple
from zlib import crc32

from fanout_app.core.message import Message

#: Witnesses of one row. They reach back to 65,000 times the distance of the latest two at least.
_MOST = 24
#: Fetches above the floor whose last record is remembered until the floor passes it.
_CANDIDATES = 64


class Witness(NamedTuple):
    """A record that was below the floor."""

    offset: int
    timestamp: int
    crc: int


class Seen(Enum):
    """What stands in the log where a witness was."""

    SAME = "the same record"
    OTHER = "another record"
    #: Compacted, deleted by retention, or beyond the end of a log that is shorter now.
    ABSENT = "no record"


def witness_of(message: Message) -> Witness:
    """CRC-32 over what a producer wrote: key, value and headers, null told from empty."""
    crc = 0
    for part in (message.key, message.value):
        crc = _crc(part, crc)
    for name, content in message.headers:
        crc = _crc(content, _crc(name.encode(errors="surrogatepass"), crc))
    return Witness(message.offset, message.timestamp, crc)


def _crc(part: bytes | None, crc: int) -> int:
    if part is None:
        return crc32(b"-", crc)
    return crc32(part, crc32(b"+%d:" % len(part), crc))


def compare(witness: Witness, found: Message | None) -> Seen:
    """What it means that this stands in the log where the witness was."""
    if found is None:
        return Seen.ABSENT
    return Seen.SAME if witness_of(found) == witness else Seen.OTHER


class Candidates:
    """Records that become witnesses once the floor has passed them: the last one of each fetch."""

    def __init__(self) -> None:
        self._waiting: deque[Witness] = deque()

    def saw(self, message: Message) -> None:
        """A fetch ended with this message."""
        if len(self._waiting) >= _CANDIDATES:
            self._waiting.pop()
        self._waiting.append(witness_of(message))

    def passed(self, floor: int) -> Witness | None:
        """The latest one below the floor, if there is one that was not answered before."""
        latest = None
        while self._waiting and self._waiting[0].offset < floor:
            latest = self._waiting.popleft()
        return latest


def thinned(witnesses: Iterable[Witness]) -> tuple[Witness, ...]:
    """The latest witness, and of the others the first one in each stretch of the log, ascending.

    A stretch is about as long as it is far from the latest, and begins at a multiple of its length: so stretches only
    ever grow together as the floor moves on, and what is the first of a longer one was the first of a shorter one
    before. Thinning that went by the distances alone would drop today what it needs tomorrow.
    """
    ascending = sorted(set(witnesses))
    first_of: dict[tuple[int, int], Witness] = {}
    for witness in ascending:
        length = 1 << (ascending[-1].offset - witness.offset).bit_length()
        first_of.setdefault((length, witness.offset // length), witness)
    return tuple(first_of.values())[-_MOST:]


class Verdict(NamedTuple):
    """What the witnesses say of a log."""

    #: One of them found another record in its place: this is not the log that the floor belongs to.
    replaced: bool
    #: The highest witness that stands unchanged below all that do not.
    same: Witness | None


def judge(seen: Mapping[Witness, Seen]) -> Verdict:
    """An absent witness proves nothing by itself: compaction and retention take records too."""
    same: Witness | None = None
    for witness in sorted(seen):
        if seen[witness] is Seen.OTHER:
            return Verdict(True, same)
        if seen[witness] is Seen.SAME:
            same = witness
    return Verdict(False, same)
