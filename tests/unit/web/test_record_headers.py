"""Records as HTTP headers: whatever bytes a producer wrote, what goes out is valid, small, and says what is missing."""

from __future__ import annotations

import re
from base64 import b64decode
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from fanout_app.web.record_headers import MOST_CHARS, MOST_LINES, describe
from unit.web.fake_runtime import FakeRuntime, Record
from unit.web.harness import serving

#: RFC 9110, 5.5: visible ASCII with single spaces and tabs inside.
VALID = re.compile(r"[!-~](?:[ \t!-~]*[!-~])?|")
PAIR = re.compile(r"\(:([A-Za-z0-9+/=]*):(?: :([A-Za-z0-9+/=]*):)?\)")


def _described(record: Record) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    describe(record, headers)
    return headers


def _pairs(headers: CIMultiDict[str]) -> list[tuple[str, bytes | None]]:
    found: list[tuple[str, bytes | None]] = []
    for line in headers.getall("Kafka-Header", []):
        match = PAIR.fullmatch(line)
        assert match, line
        found.append((b64decode(match[1]).decode(), None if match[2] is None else b64decode(match[2])))
    return found


names = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    ["content-type", "Content-Type", "traceparent", "ce_id", "ce_\r\nX: y", "ce_", "ce_é", "Content-Length"]
)
contents = (
    st.none() | st.binary(max_size=40) | st.sampled_from([b"a/b", b"text/plain; x=1", b"a\r\nX: y", b"", b" a/b "])
)


@given(st.none() | st.binary(max_size=100), st.lists(st.tuples(names, contents), max_size=70))
def test_nothing_a_record_holds_makes_an_invalid_header(
    key: bytes | None, pairs: list[tuple[str, bytes | None]]
) -> None:
    headers = _described(Record(offset=0, key=key, headers=pairs))
    for name, value in headers.items():
        assert re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name), name
        assert VALID.fullmatch(value), value
        assert name.lower() in ("kafka-key", "kafka-header", "content-type", "traceparent", "fanout-left-out") or (
            name.startswith("ce-")
        )
    assert len(headers) <= MOST_LINES + 2
    assert sum(len(name) + len(value) + 4 for name, value in headers.items()) <= MOST_CHARS + 200
    if "Fanout-Left-Out" not in headers:
        assert _pairs(headers) == pairs


def test_record_headers_keep_order_repeats_and_nulls() -> None:
    pairs = [("b", b"1"), ("a", None), ("b", b""), ("é", b"\xff")]
    assert _pairs(_described(Record(offset=0, headers=pairs))) == pairs


def test_cloud_events_attributes_are_headers_of_their_own() -> None:
    value = 'caf\u00e9 100% "x"\n'.encode()
    headers = _described(Record(offset=0, headers=[("ce_source", b"/a/b"), ("ce_subject", value), ("ce_id", None)]))
    assert headers["ce-source"] == "/a/b"
    assert unquote_to_bytes(headers["ce-subject"]) == value
    assert "ce-id" not in headers


def test_of_repeated_well_known_headers_the_first_counts() -> None:
    trace = b"00-%s-%s-01" % (b"a" * 32, b"b" * 16)
    pairs = [("ce_id", b"1"), ("ce_id", b"2"), ("content-type", b"a/b"), ("Content-Type", b"c/d"),
             ("traceparent", trace), ("traceparent", trace.replace(b"a", b"c"))]  # fmt: skip
    headers = _described(Record(offset=0, headers=pairs))
    assert headers.getall("ce-id") == ["1"]
    assert headers.getall("Content-Type") == ["a/b"]
    assert headers.getall("traceparent") == [trace.decode()]


@pytest.mark.parametrize("content", [b"", b"nonsense", b"a/b\r\nX: y", "é/b".encode(), b"a/" + b"b" * 5000 + b"\n"])
def test_a_content_type_that_is_none_is_left_to_the_record(content: bytes) -> None:
    assert _described(Record(offset=0, headers=[("content-type", content)]))["Content-Type"] == (
        "application/octet-stream"
    )


def test_space_around_a_content_type_is_not_part_of_it() -> None:
    assert _described(Record(offset=0, headers=[("content-type", b"a/b ")]))["Content-Type"] == "a/b"


@pytest.mark.parametrize("content", [b"", b"x", b"00-" + b"a" * 32, b"00-%s-%s-01\r\nX: y" % (b"a" * 32, b"b" * 16)])
def test_a_traceparent_that_is_none_is_left_to_the_record(content: bytes) -> None:
    assert "traceparent" not in _described(Record(offset=0, headers=[("traceparent", content)]))


def test_too_many_headers_are_left_out_and_counted() -> None:
    pairs = [(f"h{number}", b"x") for number in range(100)]
    headers = _described(Record(offset=0, headers=pairs))
    kept = _pairs(headers)
    assert kept == pairs[: len(kept)]
    assert headers["Fanout-Left-Out"] == f"headers={100 - len(kept)}"
    assert 50 < len(kept) <= MOST_LINES


def test_what_is_too_large_is_left_out_and_the_rest_is_not() -> None:
    headers = _described(Record(offset=0, key=b"k" * 10_000, headers=[("a", b"x" * 10_000), ("b", b"y")]))
    assert headers["Fanout-Left-Out"] == "key, headers=1"
    assert "Kafka-Key" not in headers
    assert _pairs(headers) == [("b", b"y")]


async def test_the_worst_record_is_handed_out_over_http_all_the_same() -> None:
    async with serving(FakeRuntime()) as there:
        pairs = [("content-type", b"a\r\nb"), ("ce_\r\n", b"\x00"), ("x" * 70_000, b"y"), ("", None)]
        there.runtime.offer(b"v", key=b"\r\n" * 50_000, headers=pairs)
        status, headers, body = await there.ask("POST", "/v1/next?wait_ms=0")
        assert (status, body) == (200, b"v")
        assert headers["Fanout-Left-Out"] == "key, headers=1"
