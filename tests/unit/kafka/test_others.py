"""Heartbeats on the board of workers that were started with other options: do these live?"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from fanout_app.core.errors import StartError
from fanout_app.core.heartbeat_row import encode_heartbeat
from fanout_app.core.roster import Heartbeat
from fanout_app.kafka import others as module
from fanout_app.kafka.others import refuse_contradiction
from fanout_app.lease_keys import LeaseKeys, Seal
from fanout_app.options import Options, from_environment
from unit.kafka.test_cluster import OTHER

SEAL = Seal(LeaseKeys([b"a key"]), "i", "t")
WRONG = replace(OTHER, order="key")


class Standing:
    """A board that holds these; with each look at it the next ones of ``to_come``."""

    def __init__(self, *heartbeats: Heartbeat) -> None:
        self.rows: dict[str, bytes] = {}
        self.to_come: list[Heartbeat | str] = []
        self.looks = 0
        for heartbeat in heartbeats:
            self.put(heartbeat)

    def put(self, heartbeat: Heartbeat) -> None:
        self.rows[f"worker/{heartbeat.worker}"] = encode_heartbeat(heartbeat, id="i", topic="t")

    def latest(self, key: str) -> bytes | None:
        return self.rows.get(key)

    def sealed(self, prefix: str, seal: Seal) -> dict[str, bytes]:
        assert (prefix, seal) == ("worker/", SEAL)
        return dict(self.rows)

    async def read(self) -> None:
        self.looks += 1
        if self.to_come:
            come = self.to_come.pop(0)
            if isinstance(come, str):
                del self.rows[f"worker/{come}"]
            else:
                self.put(come)


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> Options:
    monkeypatch.setenv("FANOUT_ID", "i")
    monkeypatch.setenv("FANOUT_TOPIC", "t")
    monkeypatch.setattr(module, "_LOOK_EVERY", 0.01)
    monkeypatch.setattr(module, "SILENCE", 0.1)
    return from_environment()


async def refuse(board: Standing, options: Options) -> None:
    async with asyncio.timeout(2):
        await refuse_contradiction(board, options, SEAL)  # type: ignore[arg-type]


async def test_where_all_agree_nothing_is_waited_for(options: Options) -> None:
    board = Standing(OTHER, replace(OTHER, worker="new", delivery="balance", order="none"))
    board.rows["worker/damaged"] = b"?"
    await refuse(board, options)
    assert board.looks == 0


async def test_one_that_says_something_more_lives(options: Options) -> None:
    board = Standing(WRONG)
    board.to_come = [WRONG, replace(WRONG, sent_at=1.0)]
    with pytest.raises(StartError, match=r"worker other at http://10\.0\.0\.2:6066 was started with --order key, and "
                       "this one with --order none"):  # fmt: skip
        await refuse(board, options)


async def test_one_that_comes_meanwhile_lives_too(options: Options) -> None:
    board = Standing(replace(WRONG, worker="dead"))
    board.to_come = [WRONG]
    with pytest.raises(StartError, match="worker other"):
        await refuse(board, options)


async def test_one_that_stays_silent_is_dead(options: Options) -> None:
    board = Standing(WRONG)
    await refuse(board, options)
    assert board.looks >= 3


async def test_one_that_leaves_is_gone(options: Options) -> None:
    board = Standing(WRONG)
    board.to_come = ["other"]
    await refuse(board, options)
    assert board.looks == 1
