"""Records out of Kafka's bytes, also out of those that aiokafka's parser refuses.

A header name that is not UTF-8 makes the parser raise, and it would raise at that record for ever. Such a record is
delivered, with the bytes that are no UTF-8 shown as ``\\xNN``. What cannot be read at all (damaged on the disk of the
broker, or compressed in a way nobody here knows) ends the fetch in front of it and is noted, not raised: an exception
in the middle of a poll would throw away what other partitions brought.
"""

from __future__ import annotations

from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy


class KeptRecords(MemoryRecords):
    """The record batches of one partition's fetch, with their bytes kept for a second reading."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw)
        self.raw = raw


class CarefulRecords(fetcher.PartitionRecords):
    """Iterates over the records of one partition's fetch, and does not raise."""

    def __init__(self, tp: Any, records: KeptRecords, *args: Any, **kwargs: Any) -> None:
        super().__init__(tp, records, *args, **kwargs)
        #: Offsets of the records with header names that are not UTF-8.
        self.bad_names: list[int] = []
        #: Why nothing from `next_fetch_offset` on can be read, if that is so.
        self.unreadable: Exception | None = None
        self._raw = records.raw
        self._noted: list[str] | None = None

    def __next__(self) -> Any:
        try:
            record = super().__next__()
        except StopIteration:
            raise
        except Exception as error:
            if self._noted is not None or not _may_be_a_name(error):
                self.unreadable = error
                self._records_iterator = iter(())
                raise StopIteration from None
            self._noted = []
            # Batches behind us must not be walked again: they would undo what is known of aborted transactions.
            self._records = _LenientRecords(self._raw, self.next_fetch_offset, self._noted)
            self._records_iterator = self._unpack_records()
            return self.__next__()
        if self._noted:
            self._noted.clear()
            self.bad_names.append(record.offset)
        return record


def _may_be_a_name(error: Exception) -> bool:
    """The compiled parser says it as it is, the one in Python as a corrupt record."""
    return isinstance(error, (UnicodeDecodeError, fetcher.Errors.CorruptRecordException))


class _LenientRecords(_MemoryRecordsPy):
    """The batches that end behind an offset, with names of any bytes."""

    def __init__(self, raw: bytes, offset: int, noted: list[str]) -> None:
        super().__init__(raw)
        self._noted = noted
        while self._next_slice is not None and _LenientBatch(self._next_slice, noted).next_offset <= offset:
            self._cache_next()

    def next_batch(self, *_: Any) -> Any:
        part = self._next_slice
        self._cache_next()
        return None if part is None else _LenientBatch(part, self._noted)


class _LenientBatch(_DefaultRecordBatchPy):
    _buffer: bytearray

    def __init__(self, buffer: memoryview, noted: list[str]) -> None:
        super().__init__(buffer)
        self._noted = noted

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _LenientBytes(self._buffer, self._noted)


class _LenientBytes(bytearray):
    """Decodes any bytes, and notes what was not as it should be."""

    def __init__(self, data: bytes | bytearray, noted: list[str]) -> None:
        super().__init__(data)
        self._noted = noted

    def __getitem__(self, at: Any) -> Any:
        part = super().__getitem__(at)
        return _LenientBytes(part, self._noted) if isinstance(at, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        try:
            return super().decode(encoding)
        except UnicodeDecodeError:
            name = super().decode(encoding, "backslashreplace")
            self._noted.append(name)
            return name


def parse_carefully() -> None:
    """Have every aiokafka consumer of this process read its records so."""
    fetcher.MemoryRecords = KeptRecords
    fetcher.PartitionRecords = CarefulRecords
