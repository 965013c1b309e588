"""What is shown to those who look on is made once for all of them, and for nobody if nobody is there."""

from __future__ import annotations

import asyncio
import logging

import pytest

from fanout_app.web import onlookers
from fanout_app.web.onlookers import NoPlaceError, Onlookers
from unit.fake_ports import until


class Studio:
    """Makes the next one when the test wants it; begins with it before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(onlookers, "EVERY", 0.0)
        self.made = 0
        self.begun = 0
        #: Of those begun.
        self.under_way = 0
        self.stopping = False
        self.fault: Exception | None = None
        self._wanted = asyncio.Semaphore(0)
        self.all = Onlookers(self._make, lambda: self.stopping, most=3)

    async def _make(self) -> bytes:
        self.begun += 1
        self.under_way += 1
        try:
            await self._wanted.acquire()
        finally:
            self.under_way -= 1
        if self.fault is not None:
            raise self.fault
        self.made += 1
        return b"%d" % self.made

    async def more(self, count: int = 1) -> None:
        """Wait until so many more were made."""
        wanted = self.made + count
        for _ in range(count):
            self._wanted.release()
        await until(lambda: self.made == wanted and self.under_way == 1)

    def make_one(self) -> None:
        self._wanted.release()


@pytest.fixture
async def studio(monkeypatch: pytest.MonkeyPatch) -> Studio:
    return Studio(monkeypatch)


def shows() -> int:
    return sum(task.get_name() == "show" for task in asyncio.all_tasks())


async def test_each_is_made_once_however_many_look(studio: Studio) -> None:
    with studio.all.one() as one, studio.all.one() as other, studio.all.one() as third:
        looking = [asyncio.ensure_future(each.next()) for each in (one, other, third)]
        await studio.more()
        assert await asyncio.gather(*looking) == [b"1"] * 3
        assert studio.made == 1


async def test_who_is_slower_goes_on_with_the_latest(studio: Studio) -> None:
    with studio.all.one() as fast, studio.all.one() as slow:
        for number in (b"1", b"2", b"3"):
            await studio.more()
            assert await fast.next() == number
        assert await slow.next() == b"3"
        again = asyncio.ensure_future(slow.next())
        await studio.more()
        assert await again == b"4"


async def test_who_comes_later_sees_the_latest_at_once(studio: Studio) -> None:
    with studio.all.one():
        await studio.more(2)
        with studio.all.one() as late:
            assert await late.next() == b"2"


async def test_nothing_is_made_once_the_last_one_has_gone_and_then_anew(studio: Studio) -> None:
    with studio.all.one() as first:
        with studio.all.one():
            pass
        await studio.more()
        assert await first.next() == b"1"
        assert shows() == 1
    await until(lambda: shows() == 0)
    with studio.all.one() as next_one:
        await studio.more()
        # And nothing of before.
        assert await next_one.next() == b"2"
    await until(lambda: shows() == 0)


async def test_there_are_no_more_than_there_may_be(studio: Studio) -> None:
    with studio.all.one(), studio.all.one():
        with studio.all.one(), pytest.raises(NoPlaceError), studio.all.one():
            pass
        with studio.all.one():
            pass


async def test_at_the_end_all_are_told_at_once(studio: Studio) -> None:
    with studio.all.one() as one, studio.all.one() as other:
        looking = [asyncio.ensure_future(each.next()) for each in (one, other)]
        await until(lambda: studio.begun == 1)
        await studio.all.stop()
        assert await asyncio.gather(*looking) == [None, None]
        assert shows() == 0


async def test_once_the_worker_stops_there_is_no_more(studio: Studio) -> None:
    with studio.all.one() as one:
        await studio.more()
        assert await one.next() == b"1"
        looking = asyncio.ensure_future(one.next())
        studio.stopping = True
        studio.make_one()
        assert await looking == b"2"
        assert await one.next() is None
        assert (studio.begun, shows()) == (2, 0)


async def test_a_fault_is_told_and_ends_what_is_shown_and_not_what_comes_after(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    with studio.all.one() as one, caplog.at_level(logging.ERROR):
        studio.fault = ZeroDivisionError("a fault of ours")
        studio.make_one()
        assert await one.next() is None
        assert "a fault of ours" in caplog.text
        studio.fault = None
        with studio.all.one() as next_one:
            studio.make_one()
            assert await next_one.next() == b"1"
