"""The client for threads ends although a cluster never says that what it settles counts."""

from __future__ import annotations

import msgspec
import pytest

from fanout_client import wire
from fanout_client.errors import GivenUpError
from fanout_client.sync import Client
from fanout_client.unsettled import Unsettled


def test_what_is_answered_with_retry_for_ever_is_given_up_when_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    body = msgspec.msgpack.encode(wire.Settled(results=(wire.Result("a", wire.RETRY),)))

    def answered(self: Client, make: object, given_up: object) -> wire.Done:
        asked.append(1)
        if len(asked) > 3:
            raise AssertionError("asked again although it was given up")
        return wire.Done(200, body)

    monkeypatch.setattr(Client, "_call", answered)
    unsettled = Unsettled()
    unsettled.add(wire.Settle(ack=["a"]))
    client = Client("http://127.0.0.1:1")
    with pytest.raises(GivenUpError):
        client.settle(unsettled, given_up=lambda: len(asked) > 1)
    assert len(asked) == 2
    assert len(unsettled) == 1
