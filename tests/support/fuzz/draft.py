"""A request as it is made up: with names in place of tokens, so that the same one can be sent to any worker."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

import msgspec

#: What stands for a token that somebody holds at the time of sending; 0 to 7, from whatever is there.
PLACES = tuple(f"<token {number}>" for number in range(8))

Form = Literal["json", "msgpack"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A request that is HTTP; what it says may be anything."""

    method: str
    path: str
    #: Raw, after the question mark; not escaped any more.
    query: Sequence[tuple[str, str]] = ()
    headers: Sequence[tuple[str, bytes]] = ()
    #: Bytes as they are, or what is to be encoded.
    body: Any = b""
    form: Form = "json"
    #: How many bytes of the body to keep, counted from its end where negative; None: all.
    cut: int | None = None

    def raw(self, tokens: Mapping[str, str]) -> bytes:
        """The bytes to send, the last request of their connection."""
        body = self.body if isinstance(self.body, bytes) else _encoded(_filled(self.body, tokens), self.form)
        body = body[: self.cut]
        path = _put(self.path, tokens)
        if self.query:
            path += "?" + "&".join(
                f"{quote(name, errors='surrogatepass')}={quote(_put(value, tokens), errors='surrogatepass')}"
                for name, value in self.query
            )
        lines = [
            f"{self.method} {path} HTTP/1.1",
            "Host: localhost",
            "Connection: close",
            f"Content-Length: {len(body)}",
        ]
        if self.form == "msgpack":
            lines.append("Content-Type: application/msgpack")
        head = b"\r\n".join([*(line.encode(errors="surrogateescape") for line in lines), *map(_line, self.headers)])
        return head + b"\r\n\r\n" + body


def _line(header: tuple[str, bytes]) -> bytes:
    return header[0].encode() + b": " + header[1]


def _put(text: str, tokens: Mapping[str, str]) -> str:
    for place, token in tokens.items():
        text = text.replace(place, token)
    return text


def _filled(value: Any, tokens: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _put(value, tokens)
    if isinstance(value, list):
        return [_filled(entry, tokens) for entry in value]
    if isinstance(value, dict):
        return {name: _filled(entry, tokens) for name, entry in value.items()}
    return value


def _encoded(value: Any, form: Form) -> bytes:
    if form == "json":
        return json.dumps(value).encode()
    try:
        return msgspec.msgpack.encode(value)
    except (OverflowError, UnicodeEncodeError):  # what msgpack has no form for
        return b"\xc1"
