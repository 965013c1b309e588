"""The bytes of a ledger row, as they stand in the changelog.

A row is one format byte, then a msgpack array. Fields are only ever added at the end; a row whose format byte is
higher than ours was written by a newer worker and is refused, since guessing at it could lose what it settled.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from pyroaring import BitMap64

from fanout_app.core.errors import RowError
from fanout_app.core.lease import HandedOver
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.witness import Witness

FORMAT = 1


class HeldRun(msgspec.Struct, array_like=True, frozen=True):
    """Messages that the next owner holds back, see `HandedOver`; the first offset is counted from the floor."""

    first: int
    span: int
    left_ms: int
    batch: int | None
    delivery_count: int
    age_ms: int


class Holder(msgspec.Struct, array_like=True, frozen=True):
    """Who has, or has failed, messages that are handed over."""

    client: str
    group: str
    anonymous: bool
    runs: tuple[HeldRun, ...]


class LedgerRow(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """One row: whose it is, who wrote it, and the ledger."""

    #: The pair the row belongs to: `a_b` with `c` and `a` with `b_c` share topic names, and must not share rows.
    id: str
    topic: str
    #: Generation of the consumer group and a counter, for logs: rows are joined, never ranked by them.
    generation: int
    counter: int
    era: int
    floor: int
    #: pyroaring's portable serialisation of the settled offsets above the floor.
    settled: bytes
    failures: dict[int, int]
    committed: int | None
    #: The latest of the witnesses; the older ones, ascending, are at the end.
    witness: tuple[int, int, int] | None
    older_witnesses: tuple[tuple[int, int, int], ...] = ()
    tenure: int = 0
    handed_over: tuple[Holder, ...] = ()
    topic_id: bytes = b""
    opened: bool = False

    def snapshot(self) -> LedgerSnapshot:
        """The ledger of the row.

        Raises:
            RowError: the settled offsets are damaged.
        """
        try:
            settled = BitMap64.deserialize(self.settled) if self.settled else BitMap64()
        except ValueError as error:
            raise RowError(f"settled offsets of a ledger row are damaged: {error}") from error
        return LedgerSnapshot(
            era=self.era,
            floor=self.floor,
            settled=settled,
            failures=self.failures,
            committed=self.committed,
            witnesses=tuple(Witness(*fields) for fields in (*self.older_witnesses, self.witness) if fields is not None),
            topic_id=self.topic_id,
            tenure=self.tenure,
            opened=self.opened,
            handed_over=tuple(
                _handed_over(holder, run, self.floor) for holder in self.handed_over for run in holder.runs
            ),
        )


def _handed_over(holder: Holder, run: HeldRun, floor: int) -> HandedOver:
    return HandedOver(
        first=floor + run.first,
        span=run.span,
        left=run.left_ms / 1000,
        client=holder.client,
        group=holder.group,
        anonymous=holder.anonymous,
        batch=run.batch,
        delivery_count=run.delivery_count,
        age=run.age_ms / 1000,
    )


def _holders(handed_over: Iterable[HandedOver], floor: int) -> tuple[Holder, ...]:
    """A client's names are written once, however many runs it has."""
    runs: dict[tuple[str, str, bool], list[HeldRun]] = {}
    for one in handed_over:
        run = HeldRun(one.first - floor, one.span, round(one.left * 1000), one.batch, one.delivery_count,
                      round(one.age * 1000))  # fmt: skip
        runs.setdefault((one.client, one.group, one.anonymous), []).append(run)
    return tuple(Holder(*names, tuple(of_one)) for names, of_one in runs.items())


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(LedgerRow)


def encode_row(snapshot: LedgerSnapshot, *, id: str, topic: str, generation: int, counter: int) -> bytes:
    row = row_of(snapshot, id=id, topic=topic, generation=generation, counter=counter)
    return bytes((FORMAT,)) + _encoder.encode(row)


def row_of(snapshot: LedgerSnapshot, *, id: str, topic: str, generation: int, counter: int) -> LedgerRow:
    return LedgerRow(
        id=id,
        topic=topic,
        generation=generation,
        counter=counter,
        era=snapshot.era,
        floor=snapshot.floor,
        settled=BitMap64(snapshot.settled).serialize() if snapshot.settled else b"",
        failures=dict(snapshot.failures),
        committed=snapshot.committed,
        witness=snapshot.witnesses[-1] if snapshot.witnesses else None,
        older_witnesses=snapshot.witnesses[:-1],
        tenure=snapshot.tenure,
        handed_over=_holders(snapshot.handed_over, snapshot.floor),
        topic_id=snapshot.topic_id,
        opened=snapshot.opened,
    )


def decode_row(data: bytes, *, id: str, topic: str) -> LedgerRow:
    """Read a row back.

    Raises:
        RowError: it is of a newer format, damaged, or of another id and topic.
    """
    if data[:1] != bytes((FORMAT,)):
        found = data[0] if data else "nothing"
        raise RowError(f"ledger row of format {found}, this version reads {FORMAT}: start the version that wrote it")
    try:
        row = _decoder.decode(memoryview(data)[1:])
    except (msgspec.DecodeError, ValueError) as error:
        raise RowError(f"ledger row is damaged: {error}") from error
    belonging(row, id=id, topic=topic)
    return row


def belonging(row: LedgerRow, *, id: str, topic: str) -> None:
    """Raises RowError if the row is of another id and topic."""
    if (row.id, row.topic) != (id, topic):
        raise RowError(
            f"the changelog belongs to --id {row.id} --topic {row.topic}, whose names run together with "
            f"--id {id} --topic {topic}: choose another --id"
        )
