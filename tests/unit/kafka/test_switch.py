"""A pause is what stands highest on the board, whichever way it is learnt of first."""

from __future__ import annotations

import pytest

from fanout_app.core.errors import UnavailableError
from fanout_app.kafka.board_feed import BoardRecord
from fanout_app.kafka.switch import BoardSwitch
from fanout_app.ports import SourceError


class Board:
    def __init__(self) -> None:
        self.offset = 0
        self.written: list[tuple[str, bytes | None, bool]] = []
        self.away = False

    async def write(self, key: str, value: bytes | None, *, sealed: bool = True) -> int:
        if self.away:
            raise SourceError("away")
        self.written.append((key, value, sealed))
        return self.offset


class Scene:
    def __init__(self) -> None:
        self.board = Board()
        self.told: list[bool] = []
        self.switch = BoardSwitch(self.board, self.told.append)  # type: ignore[arg-type]

    def hear(self, offset: int, value: bytes | None, key: str = "paused") -> None:
        self.switch.hear(BoardRecord(key, value, offset, received=0.0, live=True))


async def test_what_another_worker_was_asked_is_told() -> None:
    scene = Scene()
    for offset, value in enumerate((b"1", b"0", b"1", None)):
        scene.hear(offset, value)
    assert scene.told == [True, False, True, False]
    scene.hear(9, b"1", key="paused-or-not")
    assert len(scene.told) == 4


async def test_the_record_is_one_that_earlier_versions_read() -> None:
    scene = Scene()
    assert await scene.switch.remember(paused=True)
    scene.board.offset += 1
    assert not await scene.switch.remember(paused=False)
    assert scene.board.written == [("paused", b"1", False), ("paused", b"0", False)]


async def test_what_comes_before_our_own_record_in_the_topic_does_not_undo_it() -> None:
    scene = Scene()
    scene.board.offset = 7
    assert await scene.switch.remember(paused=True)
    scene.hear(6, b"0")
    assert scene.told == [True]
    scene.hear(7, b"1")
    scene.hear(8, b"0")
    assert scene.told == [True, True, False]


async def test_who_is_overtaken_before_he_hears_of_his_own_record_gets_what_holds() -> None:
    scene = Scene()
    scene.board.offset = 7
    scene.hear(8, b"0")
    assert not await scene.switch.remember(paused=True)


async def test_a_board_that_cannot_be_written_changes_nothing() -> None:
    scene = Scene()
    scene.board.away = True
    with pytest.raises(UnavailableError, match="ask again"):
        await scene.switch.remember(paused=True)
    scene.hear(0, b"0")
    assert scene.told == [False]
