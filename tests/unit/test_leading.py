"""Leadership in a worker, with an election and a board that do what a test says."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from time import monotonic

import pytest

from fanout_app.core.following import Leader
from fanout_app.core.leader_row import decode_leader, encode_leader
from fanout_app.core.roster import Heartbeat, Roster
from fanout_app.leading import KEY, Leading
from fanout_app.ports import ElectionError, SourceError
from support.eventually import eventually
from unit.test_options import options

#: Short, since these tests wait for real.
OPTIONS = options("--leader-lease", "400ms", "--leader-timeout", "1s")


def beat(worker: str, misses: int | None = None) -> Heartbeat:
    return Heartbeat(
        worker=worker,
        address=f"http://{worker}",
        partitions=(),
        generation=1,
        waiting_messages=0,
        waiting_pulls=0,
        epoch=None,
        misses_epoch=misses,
    )


@dataclass
class FakeElection:
    votes: bool = True
    epoch: int | None = None
    away: bool = False
    resigned: int = 0
    deposed: list[int] = field(default_factory=list)
    stopped: bool = False
    asked: int = 0

    def start(self, look: Callable[[], None], suspended: Callable[[], None]) -> None:
        self.look, self.suspended = look, suspended

    async def held(self) -> int | None:
        self.asked += 1
        if self.away:
            raise ElectionError("away")
        return self.epoch

    async def resign(self) -> None:
        self.resigned += 1
        self.epoch = None

    async def depose(self, epoch: int) -> bool:
        self.deposed.append(epoch)
        return True

    async def stop(self) -> None:
        self.stopped = True


class FakeBoard:
    def __init__(self) -> None:
        self.roster = Roster("me", 3.0)
        self.roster.heard(monotonic(), beat("me"))
        self.heard = True
        self.written: list[Leader] = []
        self.takes = True

    @property
    def last_acknowledged(self) -> float:
        return monotonic() if self.heard else float("-inf")

    async def write(self, key: str, value: bytes) -> None:
        assert key == KEY
        if not self.takes:
            raise SourceError("away")
        self.written.append(decode_leader(value, id=OPTIONS.id, topic=OPTIONS.topic))


@asynccontextmanager
async def running(election: FakeElection, board: FakeBoard) -> AsyncIterator[Leading]:
    faults: list[BaseException] = []
    leading = Leading(OPTIONS, "me", election, board, faults.append)
    leading.start()
    try:
        yield leading
    finally:
        await leading.stop()
    assert election.stopped
    assert not faults


def row(worker: str, epoch: int) -> bytes:
    leader = Leader(worker=worker, address=f"http://{worker}", epoch=epoch)
    return encode_leader(leader, id=OPTIONS.id, topic=OPTIONS.topic)


async def test_who_is_elected_waits_and_then_tells() -> None:
    election, board = FakeElection(epoch=7), FakeBoard()
    began = monotonic()
    async with running(election, board) as leading:
        assert not leading.may_act()
        await eventually(lambda: board.written)
        assert monotonic() - began >= OPTIONS.leader_lease
        assert board.written[0] == Leader(worker="me", address="http://me", epoch=7)


async def test_a_suspension_stops_it_at_once() -> None:
    election, board = FakeElection(epoch=7), FakeBoard()
    async with running(election, board) as leading:
        await eventually(leading.may_act, every=0.01)
        election.away = True
        election.suspended()
        assert not leading.may_act()
        told = len(board.written)
        election.away = False
        election.look()
        await eventually(leading.may_act, every=0.01)
        await eventually(lambda: len(board.written) > told)


async def test_it_names_itself_only_while_it_may_act() -> None:
    election, board = FakeElection(epoch=7), FakeBoard()
    async with running(election, board) as leading:
        leading.hear_leader(row("other", 6), monotonic(), live=True)
        leader = leading.leader()
        assert leader is not None
        assert leader.worker == "other"
        mine = Leader(worker="me", address="http://me", epoch=7)
        await eventually(lambda: leading.leader() == mine, every=0.01)
        leading.hear_leader(row("me", 7), monotonic(), live=True)
        election.suspended()
        assert leading.leader() is None
        assert leading.epoch == 7


async def test_who_is_not_heard_makes_room_each_time_it_is_elected_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    election, board = FakeElection(epoch=7), FakeBoard()
    board.heard = False
    async with running(election, board) as leading:
        await eventually(lambda: election.resigned)
        election.epoch = 8
        await eventually(lambda: election.resigned == 2)
        assert not board.written
        assert not leading.may_act()
    assert caplog.text.count("it makes room for another one") == 1


async def test_where_it_cannot_make_room_it_does_not_say_so(caplog: pytest.LogCaptureFixture) -> None:
    election, board = FakeElection(epoch=7, votes=False), FakeBoard()
    board.heard = False
    async with running(election, board):
        await eventually(lambda: election.resigned)
    assert "makes room" not in caplog.text


async def test_a_silent_leader_is_deposed(caplog: pytest.LogCaptureFixture) -> None:
    election, board = FakeElection(), FakeBoard()
    async with running(election, board) as leading:
        leading.hear_leader(row("other", 6), monotonic(), live=True)
        leading.hear_worker(beat("me"), monotonic())
        later = monotonic() + OPTIONS.leader_timeout
        leading.hear_worker(replace(beat("me"), sent_at=later), later)
        assert leading.epochs() == (6, 6)
        await eventually(lambda: election.deposed)
        assert set(election.deposed) == {6}
    assert "epoch 6 is silent" in caplog.text


async def test_without_a_vote_nobody_is_deposed() -> None:
    election, board = FakeElection(votes=False), FakeBoard()
    async with running(election, board) as leading:
        leading.hear_leader(row("other", 6), monotonic(), live=True)
        leading.hear_worker(beat("me"), monotonic())
        later = monotonic() + OPTIONS.leader_timeout
        leading.hear_worker(replace(beat("me"), sent_at=later), later)
        asked = election.asked
        await eventually(lambda: election.asked > asked + 1)
        assert not election.deposed


async def test_a_change_is_one_line_and_going_on_is_none(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fanout.leading")
    election, board = FakeElection(), FakeBoard()
    async with running(election, board) as leading:
        for worker, epoch in (("other", 6), ("other", 6), ("third", 8), ("other", 6), ("third", 8)):
            leading.hear_leader(row(worker, epoch), monotonic(), live=True)
        assert leading.changes == 1
    assert [record.getMessage() for record in caplog.records] == [
        "worker other at http://other leads, epoch 6",
        "worker third at http://third leads, epoch 8",
    ]


async def test_an_epoch_below_what_the_board_has_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    election, board = FakeElection(epoch=7), FakeBoard()
    async with running(election, board) as leading:
        leading.hear_leader(row("other", 900), monotonic(), live=False)
        assert leading.leader() is None
        await eventually(lambda: len(board.written) > 1)
    assert caplog.text.count("ZooKeeper made anew") == 1


async def test_kafka_that_takes_nothing_holds_up_no_question() -> None:
    election, board = FakeElection(epoch=7), FakeBoard()
    board.takes = False
    async with running(election, board) as leading:
        await eventually(leading.may_act, every=0.01)
        election.epoch = None
        election.look()
        await eventually(lambda: not leading.may_act(), every=0.01)
