"""What the board tells to whom: sealed records by their keys, and which of them are signs of life."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pytest

from fanout_app.kafka.board_feed import BoardFeed, BoardRecord
from fanout_app.kafka.board_seal import HEADER, seal_of
from fanout_app.kafka.brokers import Brokers
from fanout_app.kafka.log_client import Part
from fanout_app.lease_keys import LeaseKeys, Seal
from fanout_app.ports import SourceError
from unit.fake_ports import until

OURS = Seal(LeaseKeys([b"a key"]), "i", "t")


class Record(NamedTuple):
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class Records(list[Record]):
    unreadable = None
    next_fetch_offset = 0


class Log:
    """The board's log, as `LogClient` answers for it."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.start = 0
        self.away = False

    def add(self, key: str | None, value: bytes | None, seal: Seal | None = OURS) -> None:
        name = None if key is None else key.encode()
        headers = ((HEADER, seal_of(seal, name or b"", value)),) if seal is not None else ()
        self.records.append(Record(self.end, name, value, headers))

    @property
    def end(self) -> int:
        return self.records[-1].offset + 1 if self.records else 0

    async def bounds(self, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
        await self._answer()
        return {0: (self.start, self.end)}

    async def fetch(self, at: Mapping[int, int], max_bytes: int, isolation: int, *, wait: float) -> dict[int, Part]:
        await self._answer()
        if not self.start <= at[0] <= self.end:
            return {0: Part(None)}
        found: Any = Records(record for record in self.records if record.offset >= at[0])
        found.next_fetch_offset = self.end
        return {0: Part(found)}

    async def _answer(self) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise SourceError("Kafka is away")

    async def stop(self) -> None:
        pass


class Scene:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("fanout_app.kafka.board_feed._PAUSE", 0.001)
        monkeypatch.setattr("fanout_app.kafka.board_feed._RETRY_PAUSE", 0.001)
        self.log = Log()
        self.dropped = 0
        self.told: list[BoardRecord] = []
        self.feed = BoardFeed(Brokers(("nowhere:1",)), "board", OURS, self._drop)
        self.feed._client = self.log  # type: ignore[assignment]
        self.task: asyncio.Task[None] | None = None

    def _drop(self) -> None:
        self.dropped += 1

    def begin(self) -> None:
        self.task = asyncio.create_task(self.feed.run())

    def said(self) -> list[tuple[str, bytes | None, int, bool]]:
        return [(record.key, record.value, record.offset, record.live) for record in self.told]

    async def end(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> Any:
    scene = Scene(monkeypatch)
    yield scene
    await scene.end()


async def test_what_stood_there_is_no_sign_of_life_and_what_comes_is(scene: Scene) -> None:
    scene.log.add("worker/a", b"older")
    scene.log.add("leader", b"other")
    scene.log.add("worker/b", None)
    scene.log.add("worker/a", b"old")
    scene.log.add("worker/c", b"old")
    scene.feed.on("worker/", scene.told.append)
    scene.begin()
    await scene.feed.caught_up.wait()
    standing = [("worker/b", None, 2, False), ("worker/a", b"old", 3, False), ("worker/c", b"old", 4, False)]
    assert scene.said() == standing, "as compaction would leave it: the last record of each key"
    scene.log.add("worker/a", b"new")
    scene.log.add("worker/a", b"newer")
    await until(lambda: len(scene.told) == 5)
    assert scene.said()[3:] == [("worker/a", b"new", 5, True), ("worker/a", b"newer", 6, True)]
    assert scene.told[3].received >= scene.told[0].received


async def test_who_cannot_rely_on_the_last_record_is_told_of_every_one_and_when_that_was_all(scene: Scene) -> None:
    for value in (b"1", b"2", b"late"):
        scene.log.add("canary", value)
        scene.log.add("worker/a", value)
    said: list[object] = []
    scene.feed.on("canary", lambda record: said.append((record.value, record.live)), every=True)
    scene.feed.on("worker/", lambda record: said.append("a worker"))
    scene.feed.on_caught_up(lambda: said.append("all"))
    scene.begin()
    await scene.feed.caught_up.wait()
    scene.log.add("canary", b"3")
    await until(lambda: len(said) == 6)
    assert said == [(b"1", False), (b"2", False), (b"late", False), "a worker", "all", (b"3", True)]


async def test_an_empty_board_is_read_up_at_once(scene: Scene) -> None:
    scene.begin()
    await scene.feed.caught_up.wait()


async def test_records_that_nobody_of_ours_has_sealed_are_dropped_and_counted(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    other_keys, other_pair = Seal(LeaseKeys([b"another"]), "i", "t"), Seal(LeaseKeys([b"a key"]), "i", "u")
    scene.feed.on("worker/", scene.told.append)
    anything: list[BoardRecord] = []
    scene.feed.on("worker/", anything.append, sealed=False)
    scene.begin()
    await scene.feed.caught_up.wait()
    for seal in (None, other_keys, other_pair):
        scene.log.add("worker/a", b"forged", seal)
    scene.log.add("worker/a", None, None)
    scene.log.add("paused", b"1", None)
    scene.log.add(None, b"1", None)
    genuine = seal_of(OURS, b"worker/a", b"one")
    scene.log.records.append(Record(scene.log.end, b"worker/b", b"one", ((HEADER, genuine),)))
    scene.log.records.append(Record(scene.log.end, b"worker/a", None, ((HEADER, genuine),)))
    scene.log.records.append(Record(scene.log.end, b"worker/a", b"one", (("other", b""), (HEADER, genuine))))
    await until(lambda: scene.told)
    assert scene.said() == [("worker/a", b"one", 8, True)]
    assert scene.dropped == 6, "those of keys that nobody listens to are not ours to judge"
    assert len(anything) == 7
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "--lease-key-file" in warnings[0]


async def test_after_kafka_was_away_it_goes_on_where_it_was(scene: Scene) -> None:
    scene.log.away = True
    scene.feed.on("worker/", scene.told.append)
    scene.log.add("worker/a", b"0")
    scene.begin()
    await asyncio.sleep(0)
    scene.log.away = False
    await scene.feed.caught_up.wait()
    scene.log.away = True
    scene.log.add("worker/a", b"1")
    await asyncio.sleep(0)
    scene.log.away = False
    await until(lambda: len(scene.told) == 2)
    assert [record.live for record in scene.told] == [False, True]


async def test_a_log_that_begins_behind_our_place_is_read_from_its_start(scene: Scene) -> None:
    scene.feed.on("worker/", scene.told.append)
    scene.begin()
    await scene.feed.caught_up.wait()
    for number in range(3):
        scene.log.add("worker/a", b"%d" % number)
    del scene.log.records[:2]
    scene.log.start = 2
    await until(lambda: scene.told)
    assert scene.said() == [("worker/a", b"2", 2, False)]
