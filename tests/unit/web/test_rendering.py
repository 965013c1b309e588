"""A finished answer of every form can be sent to the worker that the client has asked."""

from __future__ import annotations

import msgspec
import pytest

from fanout_app.cluster.frames import FORMS, Handed, Wish
from fanout_app.core.lease import Answer
from fanout_app.core.requests import Pull
from fanout_app.lease_keys import LeaseKeys
from fanout_app.web.rendering import Renderer
from fanout_app.web.tokens import TokenCodec
from unit.web.fake_runtime import FakeRuntime


@pytest.mark.parametrize("form", FORMS)
async def test_it_arrives_as_it_was_made(form: str) -> None:
    runtime = FakeRuntime()
    runtime.offer(b"value", key=b"key", headers=[("content-type", b"text/plain"), ("ce_id", b"7")])
    answer = await runtime.pull(Pull(client="one", max_messages=1), wait=0)
    assert isinstance(answer, Answer)
    renderer = Renderer(runtime, TokenCodec(LeaseKeys([b"a key of the tests"]), runtime.id, runtime.topic))
    rendered = renderer(answer, Wish(form=form, tell_client=True))
    sent = Handed(1, 1, rendered.headers, rendered.body, 30.0)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=Handed) == sent
