"""Writing to connections with TLS so that it is seen what a client does not take.

asyncio and uvloop encrypt whatever is written at once and hand it down to the connection below, however much waits
there. Only the *next* write stays above it, where it counts: a client that takes nothing of one large answer would be
one that has taken all of it. In pieces, what comes behind those that wait below is seen to wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

#: Bytes of a piece, and those of all that may wait before a writer has to, as on connections without TLS.
_PIECE: Final = 64 << 10


class InPieces(asyncio.Transport):
    """A transport as it is, but that it is written to in pieces."""

    def __init__(self, inner: Any) -> None:
        """``inner`` is an `asyncio.Transport`, which not all loops derive theirs from."""
        super().__init__()
        self._inner: asyncio.Transport = inner
        inner.set_write_buffer_limits(high=_PIECE)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if len(data) <= _PIECE:
            self._inner.write(data)
            return
        view = memoryview(data).cast("B")
        for start in range(0, len(view), _PIECE):
            self._inner.write(view[start : start + _PIECE])

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    # As it is --------------------------------------------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._inner.get_extra_info(name, default)

    def is_closing(self) -> bool:
        return self._inner.is_closing()

    def close(self) -> None:
        # Closed twice, asyncio's forgets what is below it and breaks on whatever it is asked then.
        if not self._inner.is_closing():
            self._inner.close()

    def abort(self) -> None:
        self._inner.abort()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._inner.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._inner.get_protocol()

    def is_reading(self) -> bool:
        return self._inner.is_reading()

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._inner.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._inner.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._inner.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._inner.get_write_buffer_limits()

    def can_write_eof(self) -> bool:
        return self._inner.can_write_eof()

    def write_eof(self) -> None:
        self._inner.write_eof()
