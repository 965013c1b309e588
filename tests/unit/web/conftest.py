"""Requests as they come for the first time, and as they come when their heads are known: answered alike, in all."""

from __future__ import annotations

from contextlib import suppress

import pytest
from aiohttp import HttpVersion10, HttpVersion11
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from fanout_app.web.known import Head, Heads
from fanout_app.web.problems import Problem

_HEAD_ENDS = b"\r\n\r\n"


@pytest.fixture(params=["new", "known"])
def heads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Heads have never come before, or all of them have that can be known."""
    if request.param == "known":
        find = Heads.find

        def found(self: Heads, data: bytes) -> tuple[Head, bytes] | None:
            if find(self, data) is None:
                _learn(self, data)
            return find(self, data)

        monkeypatch.setattr(Heads, "find", found)
    return str(request.param)


def _learn(heads: Heads, data: bytes) -> None:
    """As after a request with this head was met."""
    head, ends, _ = data.partition(_HEAD_ENDS)
    # What is no HTTP, and what no answer of 200 can be to, is nothing that can have been met.
    with suppress(ValueError, Problem):
        method, path, version = head.decode().split("\r\n")[0].split(" ")
        headers = CIMultiDict(_field(line) for line in head.decode().split("\r\n")[1:])
        of = {"HTTP/1.1": HttpVersion11, "HTTP/1.0": HttpVersion10}[version]
        heads.learn(head + ends, make_mocked_request(method, path, headers, version=of))


def _field(line: str) -> tuple[str, str]:
    name, value = line.split(":", 1)
    return name, value.strip()
