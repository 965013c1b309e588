"""Heartbeats of one worker, and what it makes of the others'."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from time import monotonic

import pytest

from fanout_app.core.dispatcher import Dispatcher, Limits
from fanout_app.core.errors import StartError
from fanout_app.core.heartbeat_row import decode_heartbeat, encode_heartbeat
from fanout_app.core.roster import Heartbeat, Roster
from fanout_app.kafka import cluster as module
from fanout_app.kafka.board_feed import BoardRecord
from fanout_app.kafka.brokers import Brokers
from fanout_app.kafka.cluster import Cluster
from fanout_app.lease_keys import LeaseKeys
from fanout_app.options import from_environment
from fanout_app.ports import SourceError
from unit.fake_ports import until

OTHER = Heartbeat(
    worker="other",
    address="http://10.0.0.2:6066",
    partitions=(1,),
    generation=2,
    waiting_messages=0,
    waiting_pulls=0,
    epoch=None,
    misses_epoch=None,
)


@dataclass
class Member:
    worker: str = "me"
    roster: Roster = field(default_factory=lambda: Roster("me", 3.0))
    generation: int = 2
    partitions: tuple[int, ...] = (0,)
    ready: bool = True
    dispatcher: Dispatcher = field(
        default_factory=lambda: Dispatcher(Limits(), new_batch=lambda: 1, jitter=lambda: 0.0)
    )

    def owned(self) -> tuple[int, ...]:
        return self.partitions

    def waiting(self) -> int:
        return 7


class Board:
    """Feed and writer in one: what is written comes back when a test says so."""

    def __init__(self) -> None:
        self.written: list[tuple[str, bytes | None]] = []
        self.error: SourceError | None = None
        self.hangs = False
        self.listeners: list[tuple[str, Callable[[BoardRecord], None]]] = []
        self.offset = 0

    async def write(self, key: str, value: bytes | None, *, sealed: bool = True) -> int:
        assert sealed
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        self.written.append((key, value))
        return len(self.written)

    def on(self, prefix: str, tell: Callable[[BoardRecord], None], *, sealed: bool = True) -> None:
        self.listeners.append((prefix, tell))

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def stop(self) -> None:
        pass

    def say(self, key: str, value: bytes | None, *, live: bool = True) -> None:
        self.offset += 1
        for prefix, tell in self.listeners:
            if key.startswith(prefix):
                tell(BoardRecord(key, value, self.offset, monotonic(), live))

    def beats(self) -> list[Heartbeat]:
        return [
            decode_heartbeat(value, id="i", topic="t")
            for key, value in self.written
            if key == "worker/me" and value is not None
        ]


class Scene:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FANOUT_ID", "i")
        monkeypatch.setenv("FANOUT_TOPIC", "t")
        self.board = Board()
        self.member = Member()
        self.faults: list[BaseException] = []
        self.dropped = 0
        with monkeypatch.context() as patched:
            patched.setattr(module, "BoardFeed", lambda *_: self.board)
            patched.setattr(module, "BoardWriter", lambda *_: self.board)
            self.cluster = Cluster(
                from_environment(),
                Brokers(()),
                self.member,
                LeaseKeys([b"a key"]),
                on_fault=self.faults.append,
                on_dropped=self._drop,
            )

    def _drop(self) -> None:
        self.dropped += 1

    def begin(self) -> None:
        self.cluster.start()
        self.cluster.serves_at("127.0.0.1", 6066)

    def say(self, heartbeat: Heartbeat, *, live: bool = True) -> None:
        self.board.say(f"worker/{heartbeat.worker}", encode_heartbeat(heartbeat, id="i", topic="t"), live=live)

    def present(self) -> list[str]:
        return [heartbeat.worker for heartbeat in self.cluster.roster.present(monotonic())]


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    scene = Scene(monkeypatch)
    yield scene
    await scene.cluster.stop()
    assert scene.faults == []


async def test_heartbeats_begin_when_there_is_an_address_to_tell(scene: Scene) -> None:
    scene.cluster.start()
    await asyncio.sleep(0)
    assert scene.board.written == []
    before = monotonic()
    scene.cluster.serves_at("127.0.0.1", 6066)
    await until(scene.board.beats)
    assert scene.board.beats()[0] == Heartbeat(
        worker="me",
        address="http://127.0.0.1:6066",
        partitions=(0,),
        generation=2,
        waiting_messages=7,
        waiting_pulls=0,
        epoch=None,
        misses_epoch=None,
        delivery="balance",
        order="none",
        sent_at=scene.cluster.last_acknowledged,
    )
    assert before <= scene.cluster.last_acknowledged <= monotonic()
    assert scene.present() == ["me"]


async def test_a_change_is_told_at_once_and_the_rest_at_its_time(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 3600.0)
    scene.begin()
    await until(scene.board.beats)
    scene.member.partitions = (0, 1)
    scene.cluster.epochs = lambda: (5, None)
    scene.cluster.beat_soon()
    await until(lambda: len(scene.board.beats()) == 2)
    assert [(beat.partitions, beat.epoch) for beat in scene.board.beats()] == [((0,), None), ((0, 1), 5)]


async def test_they_go_on_by_themselves(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 0.001)
    scene.begin()
    await until(lambda: len(scene.board.beats()) > 5)


async def test_kafka_being_away_is_said_once_and_once_more_when_it_is_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "EVERY", 0.001)
    scene.board.error = SourceError("no acknowledgement")
    scene.begin()
    await until(lambda: caplog.records)
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert scene.cluster.last_acknowledged == float("-inf")
    assert scene.present() == ["me"], "it knows that it is there"
    scene.board.error = None
    await until(lambda: len(scene.board.beats()) > 2)
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == [
        "Kafka takes no heartbeat of this worker, so the others will miss it: no acknowledgement",
        "Kafka takes heartbeats of this worker again",
    ]


async def test_the_others_are_those_heard_since_it_began_to_read(scene: Scene) -> None:
    scene.say(OTHER, live=False)
    assert scene.present() == []
    scene.say(OTHER)
    assert scene.present() == ["other"]
    scene.say(replace(OTHER, waiting_messages=9))
    (other,) = scene.cluster.roster.present(monotonic())
    assert other.waiting_messages == 9
    scene.board.say("worker/other", None)
    assert scene.present() == []


async def test_what_cannot_be_read_is_counted_and_no_fault(scene: Scene) -> None:
    scene.board.say("worker/other", b"\x02\x90")
    scene.board.say("worker/other", encode_heartbeat(OTHER, id="i", topic="other"))
    assert scene.dropped == 2
    assert scene.present() == []


async def test_its_own_heartbeat_coming_back_is_nothing_new(scene: Scene) -> None:
    scene.say(replace(OTHER, worker="me"))
    assert scene.present() == []


async def test_the_last_word_takes_its_heartbeat_off_the_board(scene: Scene) -> None:
    scene.begin()
    await until(scene.board.beats)
    await scene.cluster.leave()
    assert scene.board.written[-1] == ("worker/me", None)
    written = len(scene.board.written)
    scene.cluster.beat_soon()
    await asyncio.sleep(0.01)
    assert len(scene.board.written) == written


@pytest.mark.parametrize("fault", ["fails", "hangs", "not begun"])
async def test_leaving_does_not_depend_on_kafka(scene: Scene, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAVE_FOR", 0.01)
    if fault != "not begun":
        scene.begin()
        await until(scene.board.beats)
        scene.board.error = SourceError("away")
        scene.board.hangs = fault == "hangs"
    await scene.cluster.leave()


async def test_the_dead_are_wiped_off_the_board_when_nobody_has_heard_them_for_long(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TURN", 0.001)
    monkeypatch.setattr(module, "EVERY", 3600.0)
    scene.say(replace(OTHER, worker="dead"), live=False)
    scene.board.say("worker/left", None, live=False)
    scene.begin()
    for _ in range(2 * module._ABSENT_FOR):
        await asyncio.sleep(0.001)
    assert ("worker/dead", None) not in scene.board.written, "who does not hear himself judges nobody"

    def hears_itself_and_another() -> bool:
        scene.say(replace(OTHER, worker="me"))
        scene.say(replace(OTHER, worker="alive"))
        return ("worker/dead", None) in scene.board.written

    await until(hears_itself_and_another)
    assert {key for key, value in scene.board.written if value is None} == {"worker/dead"}


async def test_where_no_address_can_be_told_the_worker_ends(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "advertised", lambda *_: 1 / 0)
    scene.begin()
    await until(lambda: scene.faults)
    assert isinstance(scene.faults.pop(), ZeroDivisionError)


class TestOtherOptions:
    """What a worker says that was started with another ``--delivery`` or ``--order``."""

    def test_a_heartbeat_tells_them(self) -> None:
        told = replace(OTHER, delivery="broadcast", order="key")
        assert decode_heartbeat(encode_heartbeat(told, id="i", topic="t"), id="i", topic="t") == told

    @pytest.mark.parametrize(
        ("ready", "generation", "name", "ends"),
        [
            (False, 2, "other", True),
            (False, 0, "other", True),
            (True, 0, "another", False),
            (True, 2, "other", False),
            (True, 2, "another", True),
        ],
        ids=[
            "it is in service and we are not",
            "neither is",
            "we are and it is not",
            "both are and our name comes first",
            "both are and its name comes first",
        ],
    )
    async def test_who_is_in_service_stays(
        self, scene: Scene, ready: bool, generation: int, name: str, ends: bool
    ) -> None:
        scene.begin()
        scene.member.ready = ready
        scene.say(replace(OTHER, worker=name, generation=generation, delivery="broadcast"))
        faults, scene.faults[:] = [*scene.faults], []
        assert len(faults) == ends
        if ends:
            assert isinstance(faults[0], StartError)
            assert "with --delivery broadcast, and this one with --delivery balance" in str(faults[0])

    async def test_order_counts_too_and_an_earlier_version_says_nothing(self, scene: Scene) -> None:
        scene.begin()
        scene.member.ready = False
        scene.say(OTHER)
        scene.say(replace(OTHER, delivery="balance", order="none"))
        scene.say(replace(OTHER, delivery="broadcast"), live=False)
        assert scene.faults == []
        scene.say(replace(OTHER, order="key"))
        (fault,) = scene.faults
        assert "--order key" in str(fault)
        scene.faults.clear()
