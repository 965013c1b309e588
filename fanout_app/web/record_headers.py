"""One record as HTTP headers, for POST /v1/next. Whatever a record holds, the header section stays valid and small.

What cannot stand in a header as it is goes as a byte sequence (RFC 9651, 3.3.5), which is base64 between colons.
Many HTTP clients read no more than 100 header lines or 8 KiB of them, and a message that its client can never read
would come back for ever: so what goes past the limits below is left out. ``Fanout-Left-Out`` says so; a pull has it.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from typing import Final
from urllib.parse import quote_from_bytes

from multidict import CIMultiDict

from fanout_app.core.message import Message

#: Lines and characters that key and headers of a record may take in all.
MOST_LINES: Final = 64
MOST_CHARS: Final = 6 << 10

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_MEDIA_TYPE: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+[\x20-\x7e]{0,128}")
_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}[!-~]{0,128}")
#: CloudEvents' HTTP binding, 3.1.3.2: all that is printable ASCII, but space, double quote and percent.
_UNQUOTED: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_DEFAULT_TYPE: Final = "application/octet-stream"


def describe(message: Message, headers: CIMultiDict[str]) -> None:
    """Add key, record headers and what follows from them."""
    room = _Room(headers)
    left_out: list[str] = []
    if message.key is not None and not room.add("Kafka-Key", byte_sequence(message.key)):
        left_out.append("key")
    dropped = 0
    for name, content in message.headers:
        dropped += not room.add("Kafka-Header", _pair(name, content))
        if content is not None:
            _well_known(name, content, headers, room)
    if dropped:
        left_out.append(f"headers={dropped}")
    if left_out:
        headers["Fanout-Left-Out"] = ", ".join(left_out)
    if message.value is not None:
        headers.setdefault("Content-Type", _DEFAULT_TYPE)


class _Room:
    """What is left of the limits."""

    def __init__(self, headers: CIMultiDict[str]) -> None:
        self._headers = headers
        self._lines = MOST_LINES
        self._chars = MOST_CHARS

    def add(self, name: str, value: str) -> bool:
        """False if there was no room for it."""
        size = len(name) + len(value) + 4
        if not self._lines or size > self._chars:
            return False
        self._lines -= 1
        self._chars -= size
        self._headers.add(name, value)
        return True


def _well_known(name: str, content: bytes, headers: CIMultiDict[str], room: _Room) -> None:
    """Headers that HTTP has a place of its own for; of repeated ones the first counts."""
    lower = name.lower()
    if lower == "content-type":
        if "Content-Type" not in headers and _MEDIA_TYPE.fullmatch(content):
            room.add("Content-Type", content.decode("ascii").strip())
    elif lower == "traceparent":
        if "traceparent" not in headers and _TRACEPARENT.fullmatch(content):
            room.add("traceparent", content.decode("ascii"))
    elif name.startswith("ce_") and _TOKEN.fullmatch(name):
        ours = f"ce-{name[3:]}"
        if ours not in headers:
            room.add(ours, quote_from_bytes(content, safe=_UNQUOTED))


def byte_sequence(content: bytes) -> str:
    return f":{b2a_base64(content, newline=False).decode('ascii')}:"


def _pair(name: str, content: bytes | None) -> str:
    """An inner list of name and value, since both may be any bytes; a null value leaves the name alone."""
    sequence = byte_sequence(name.encode())
    return f"({sequence})" if content is None else f"({sequence} {byte_sequence(content)})"
