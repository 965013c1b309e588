"""Three workers: `a` owns partition 0, `b` owns 1, `c` is a spare. All are connected."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fanout_app.core.limits import Limits
from unit.cluster.wire import Member
from unit.fake_ports import until


class Trio:
    """The three, and the ends of their connections by the names of both: ``trio.ends["c", "a"]`` is at c."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.a, self.b, self.c = (Member(name, limits) for name in "abc")
        self.ends = {}
        for one, other in ((self.a, self.b), (self.b, self.c), (self.c, self.a)):
            end = one.join(other)
            self.ends[one.name, other.name] = end
            self.ends[other.name, one.name] = end.twin

    @property
    def members(self) -> tuple[Member, Member, Member]:
        return self.a, self.b, self.c

    async def ready(self) -> None:
        await self.a.own(0)
        await self.b.own(1)
        await self.c.own()
        await until(lambda: all(member.runtime.exchange.routes.known() == {0, 1} for member in self.members))


@pytest.fixture
async def trio(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Trio]:
    monkeypatch.setenv("FANOUT_ID", "a")
    monkeypatch.setenv("FANOUT_TOPIC", "t")
    trio = Trio()
    await trio.ready()
    yield trio
    for member in trio.members:
        await member.stop()
