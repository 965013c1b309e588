"""What requests are made up of: each field right most of the time, so that the wrong ones get past the others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from support.fuzz.draft import PLACES, Draft

T = TypeVar("T")


def _mostly(right: SearchStrategy[T], *wrong: SearchStrategy[T]) -> SearchStrategy[T]:
    """Five times of six. That a choice is named several times makes it no more likely for `st.one_of`."""
    return st.sampled_from(range(6)).flatmap(lambda number: right if number else st.one_of(*wrong))


#: Long enough to wait, short enough for hundreds of them.
_WAITS = st.sampled_from([0, 0, 0, 1, 20])
_EDGES = st.sampled_from(
    [-1, 0, 1, 49, 50, 999, 1000, 1001, 1 << 31, (1 << 31) - 1, 1 << 53, (1 << 63) - 1, 1 << 63, 1 << 64,
     -(1 << 63), 10**400]
)  # fmt: skip
_WORDS = st.sampled_from(
    ["", "a", "stable", "canary", "utf8", "base64", "earliest", "latest", "x" * 200, "x" * 201, "x" * 5000, "\x00",
     "\n", "\ud800", "é", "é", "💩", "\u202e", "{}", "%00", "../..", "true", "NaN", "1", "1e3", "٣"]
)  # fmt: skip
_TOKENS = _mostly(
    st.sampled_from(PLACES),
    # Damaged: one character exchanged, cut, spelt in base64's own alphabet, two joined.
    st.sampled_from(PLACES).map(lambda place: place + "A"),
    st.tuples(st.sampled_from(PLACES), st.sampled_from(PLACES)).map("".join),
    st.text("ABCabc019-_", min_size=1, max_size=130),
    _WORDS,
)
_LEAVES = st.none() | st.booleans() | _EDGES | st.floats() | _WORDS | _TOKENS
_ANYTHING: SearchStrategy[Any] = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS, inner, max_size=4), max_leaves=8
)


def _right(right: SearchStrategy[Any]) -> SearchStrategy[Any]:
    return _mostly(right, _LEAVES, _ANYTHING)


def _entries(**fields: SearchStrategy[Any]) -> SearchStrategy[list[Any]]:
    entry = st.fixed_dictionaries({"lease": _right(_TOKENS)}, optional={k: _right(v) for k, v in fields.items()})
    return st.lists(_right(entry), max_size=4)


_REASONS = _WORDS | st.just("y" * 4097)
_ACK_WAITS = st.sampled_from([50, 600_000, 43_200_000])
_FIELDS: dict[str, SearchStrategy[Any]] = {
    "ack": st.lists(_right(_TOKENS), max_size=4) | _TOKENS.map(lambda token: [token] * 1000)
    | _TOKENS.map(lambda token: [token] * 1001),
    "nack": _entries(delay_ms=st.sampled_from([0, 86_400_000]), reason=_REASONS),
    "extend": _entries(ack_wait_ms=_ACK_WAITS),
    "reject": _entries(reason=_REASONS),
    "durable": st.booleans(),
    "client": _WORDS,
    "receive_id": st.sampled_from(["once", "twice", "x" * 64, "x" * 65, ""]),
    "repeat": st.booleans(),
    "group": _WORDS,
    "wait_ms": _WAITS,
    "max_messages": st.sampled_from([1, 2, 3]),
    "max_bytes": st.sampled_from([1, 100, 1 << 20]),
    "ack_wait_ms": _ACK_WAITS,
    "delay_ms": st.sampled_from([0, 86_400_000]),
    "reason": _REASONS,
    "encoding": st.sampled_from(["utf8", "base64"]),
    "to": st.sampled_from(["earliest", "latest", 0, 5, 10**9, {"timestamp_unix_ms": 0}]),
    "partition": st.sampled_from([0, 1, 2, 99]),
    "force": st.booleans(),
    "parked": st.lists(st.integers(-1, 5), max_size=4),
    "all": st.booleans(),
    "limit": st.sampled_from([1, 1000]),
    "after": st.sampled_from([-1, 0, 5]),
    "min_age_ms": st.sampled_from([0, 1000]),
    "redirects": st.sampled_from([0, 1, 2]),
    "": st.just(0),
    "Client": st.just("a"),
    "lease": _TOKENS,
}  # fmt: skip
_FIELDS["settle"] = st.fixed_dictionaries(
    {}, optional={name: _right(_FIELDS[name]) for name in ("ack", "nack", "extend", "reject", "durable")}
)
#: The fields of each address; elsewhere any of them.
_OF_BODY = {
    "/v1/pull": (
        "client",
        "group",
        "max_messages",
        "max_bytes",
        "ack_wait_ms",
        "encoding",
        "settle",
        "receive_id",
        "repeat",
    ),
    "/v1/settle": ("ack", "nack", "extend", "reject", "durable"),
    "/v1/seek": ("partition", "force"),
    "/v1/parked/redrive": ("parked", "all"),
    "/v1/pause": (),
    "/v1/resume": (),
}
#: Nobody shall wait for 20 s, nor be told all the time that this one is missing.
_NEEDED = {"/v1/pull": ("wait_ms",), "/v1/seek": ("to",)}
_OF_QUERY = {
    "/v1/next": ("client", "group", "ack_wait_ms", "redirects"),
    "/v1/leases/{lease}/nack": ("delay_ms", "reason"),
    "/v1/leases/{lease}/extend": ("ack_wait_ms",),
    "/v1/leases/{lease}/reject": ("reason",),
    "/v1/leases": ("min_age_ms", "limit"),
    "/v1/parked": ("limit", "after", "max_bytes", "encoding"),
    "/v1/pull": ("redirects",),
}


def _body(path: str) -> SearchStrategy[Any]:
    own = _OF_BODY.get(path, ())
    needed = {name: _right(_FIELDS[name]) for name in _NEEDED.get(path, ())}
    right = st.fixed_dictionaries(needed, optional={name: _right(_FIELDS[name]) for name in own})
    names = st.sampled_from(sorted(_FIELDS))
    stray = names.flatmap(lambda name: _FIELDS[name].map(lambda value: {name: value}))
    both = st.tuples(right, stray).map(lambda pair: {**pair[0], **pair[1]})
    return _mostly(right, both, _ANYTHING, st.just(_NOT_UTF8))


_NOT_UTF8 = b'{"client": "\xff\xfe"}'
_TWICE = b'{"wait_ms": 0, "client": "a", "wait_ms": "x"}'
_WRONG_BYTES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([_NOT_UTF8, _TWICE, b'{"wait_ms": NaN}', b"[" * 5000, b'{"a":' * 5000, b"null", b"1e999", b"{}{}"]),
)


def _texts(value: Any) -> str:
    return value if isinstance(value, str) else str(value)[:400]


def _queries(path: str) -> SearchStrategy[list[tuple[str, str]]]:
    own = _OF_QUERY.get(path, ())
    pairs = [st.tuples(st.just(name), _right(_FIELDS[name]).map(_texts)) for name in own]
    strays = st.tuples(_WORDS, _WORDS)
    none: SearchStrategy[list[tuple[str, str]]] = st.just([])
    some = _mostly(none, st.lists(st.one_of(*pairs, strays), min_size=1, max_size=2))
    if pairs:
        some = _mostly(st.lists(st.one_of(*pairs), max_size=2), some)
    if path != "/v1/next":
        return some
    waits = st.tuples(st.just("wait_ms"), _right(_WAITS).map(_texts))
    return st.tuples(some, waits).map(lambda both: [*both[0], both[1]])


_HEADERS = st.lists(
    st.one_of(
        st.tuples(
            st.just("Accept"),
            st.sampled_from([b"application/msgpack", b"*/*", b"text/html", b"application/json;q=0", b"", b"\xff",
                             b"," * 500, b"application/*;q=nan", b"*/*;q=-1", b"application/msgpack;q=1e999"]),
        ),
        st.tuples(
            st.just("Content-Type"),
            st.sampled_from([b"application/msgpack", b"text/plain", b"", b"/;;=", b"\xff", b"application/x-protobuf"]),
        ),
        st.tuples(
            st.just("Authorization"),
            st.sampled_from([b"Bearer", b"Bearer " + b"x" * 40, b"Basic eDp5", b"Bearer \xff\xfe", b"", b"bearer\ta"]),
        ),
        st.tuples(st.just("If-Match"), st.sampled_from([b"*", b'"1"', b"", b"\xff"])),
        st.tuples(
            st.just("Fanout-Client"),
            st.sampled_from([b"fuzz", b"", b"\xff\xfe", b"x" * 201, "é".encode(), b"a,b", b"\x85", b"a\tb"]),
        ),
        st.tuples(st.just("Content-Encoding"), st.sampled_from([b"identity", b"gzip", b"br", b"miracles"])),
        st.tuples(st.just("Expect"), st.sampled_from([b"100-continue", b"a miracle"])),
        st.tuples(st.just("Fanout-Seal"), st.sampled_from([b"00" * 32, b"zz", b""])),
        st.tuples(st.just("Upgrade"), st.sampled_from([b"websocket", b"h2c"])),
        st.tuples(st.just("Cookie"), st.just(b"x" * 4000)),
    ),
    max_size=3,
)  # fmt: skip
_PATH_ENDS = st.sampled_from(
    ["", "/", "//", "/..", "%2F", "%00", "%", "%zz", "%FF%FE", "%ED%A0%80", "%0d%0aX:%20y", ";a=b", "é", "x" * 6000]
)
_METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "QUERY", "TRACE"])
_MISSES = st.sampled_from(
    ["/", "/v1", "/v2/pull", "//v1/pull", "/v1/pull/", "/V1/pull", "/v1/canary", "/openapi.json", "/internal",
     "/internal/", "/internal/x", "/internal/link?from=a&to=b&time=1&once=1", "/internal/link?time=NaN", "*",
     "/%2e%2e/v1/pull"]
)  # fmt: skip


def _filled_in(path: str) -> SearchStrategy[str]:
    part = _mostly(
        _TOKENS.map(_in_a_path), st.sampled_from(["%00", "%FF", "%2F", "..", "a;b", "*", "%", "%F0%9F%92%A9", "holder"])
    )
    if "{" not in path:
        return st.just(path)
    front, end = re.split(r"\{\w+\}", path)
    return part.map(lambda chosen: front + (chosen or "%20") + end)


def _in_a_path(text: str) -> str:
    return "".join(one if one.isascii() and (one.isalnum() or one in "-_<> ") else "%7E" for one in text[:500])


def _has_much_to_say(path: str) -> bool:
    return "{" in path or path in _OF_BODY or path in _OF_QUERY


def drafts(routes: Sequence[tuple[str, str]]) -> SearchStrategy[Draft]:
    """Requests to these routes (method and path), and to what is beside them."""
    with_much_to_say = [row for row in routes if row[0] != "HEAD" and _has_much_to_say(row[1])]
    chosen = st.sampled_from([*routes, *3 * with_much_to_say])

    @st.composite
    def draft(draw: st.DrawFn) -> Draft:
        method, path = draw(chosen)
        if method == "*":
            method = draw(_METHODS)
        sends_body = path in _OF_BODY or draw(st.sampled_from(range(6))) == 0
        target = draw(_filled_in(path))
        query = draw(_queries(path))
        body: Any = draw(_mostly(_body(path), _WRONG_BYTES)) if sends_body else b""
        if path == "/v1/pull" and body in (b"", None):
            body = {"wait_ms": 0}
        match draw(st.sampled_from(range(20))):
            case 0:
                target = draw(_MISSES)
                query = []
            case 1:
                target += draw(_PATH_ENDS)
            case 2:
                method = draw(_METHODS)
        return Draft(
            method,
            target,
            query,
            draw(_mostly(st.just([]), _HEADERS)),
            body,
            draw(st.sampled_from(["json", "json", "msgpack"])),
            draw(_mostly(st.none(), st.integers(-20, -1))),
        )

    return draft()
