"""Floors in ZooKeeper only go forward inside an era, whoever writes them, and what cannot be read is no floor."""

from __future__ import annotations

import logging
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout_app.core.start import Mirrored
from fanout_app.zookeeper.mirror import Mirror
from fanout_app.zookeeper.session import Contact, Session
from unit.zookeeper.fake_zookeeper import FakeSession, FakeZooKeeper

NODE = "/fanout/a/t/offsets/0"


@pytest.fixture
def zookeeper() -> FakeZooKeeper:
    return FakeZooKeeper()


@pytest.fixture
def session(zookeeper: FakeZooKeeper) -> FakeSession:
    return FakeSession(zookeeper)


@pytest.fixture
def mirror(session: FakeSession) -> Mirror:
    return mirror_of(session)


def mirror_of(session: FakeSession) -> Mirror:
    return Mirror(cast(Session, session), "a", "t")


async def test_each_partition_has_a_node_of_its_own(mirror: Mirror, zookeeper: FakeZooKeeper) -> None:
    await mirror.write({0: Mirrored(0, 7), 12: Mirrored(3, 4)})
    assert {path: data for path, (data, _) in zookeeper.nodes.items()} == {
        "/fanout/a/t/offsets/0": b"[0, 7]",
        "/fanout/a/t/offsets/12": b"[3, 4]",
    }
    assert await mirror.read([0, 1, 12]) == {0: Mirrored(0, 7), 12: Mirrored(3, 4)}


async def test_a_floor_is_kept_with_the_id_of_the_topic_that_it_is_of(mirror: Mirror, zookeeper: FakeZooKeeper) -> None:
    await mirror.write({0: Mirrored(0, 7, bytes(range(16)))})
    assert zookeeper.nodes["/fanout/a/t/offsets/0"][0] == b'[0, 7, "000102030405060708090a0b0c0d0e0f"]'
    assert await mirror.read([0]) == {0: Mirrored(0, 7, bytes(range(16)))}


async def test_only_what_has_changed_is_written(mirror: Mirror, zookeeper: FakeZooKeeper) -> None:
    await mirror.write({0: Mirrored(0, 7), 1: Mirrored(0, 1)})
    await mirror.write({0: Mirrored(0, 8), 1: Mirrored(0, 1)})
    await mirror.write({0: Mirrored(0, 8), 1: Mirrored(0, 1)})
    assert (zookeeper.reads, zookeeper.writes) == (3, 3)


async def test_a_floor_that_stands_still_is_written_again_where_zookeeper_was_made_anew(
    mirror: Mirror, session: FakeSession
) -> None:
    await mirror.write({0: Mirrored(0, 7)})
    session.zookeeper.nodes.clear()
    session.tell(Contact.SUSPENDED)
    await mirror.write({0: Mirrored(0, 7)})
    assert await mirror.read([0]) == {}, "whether the session has ended, nobody knows yet"
    session.tell(Contact.LOST)
    await mirror.write({0: Mirrored(0, 7)})
    assert await mirror.read([0]) == {0: Mirrored(0, 7)}


async def test_a_seek_back_is_mirrored_since_its_era_is_higher(mirror: Mirror) -> None:
    await mirror.write({0: Mirrored(0, 700)})
    await mirror.write({0: Mirrored(1, 5)})
    assert await mirror.read([0]) == {0: Mirrored(1, 5)}


@pytest.mark.parametrize("stale", [Mirrored(2, 8), Mirrored(1, 5000)], ids=["floor", "era"])
async def test_what_a_stale_owner_writes_is_refused(stale: Mirrored, session: FakeSession) -> None:
    await mirror_of(session).write({0: Mirrored(2, 9)})
    before = session.zookeeper.nodes[NODE]
    await mirror_of(session).write({0: stale})
    assert session.zookeeper.nodes[NODE] == before


async def test_what_a_stale_owner_writes_at_the_same_moment_is_refused_by_its_version(session: FakeSession) -> None:
    """It has read the node before the owner wrote, and found that it is further on."""
    owner, stale = mirror_of(session), mirror_of(session)
    await owner.write({0: Mirrored(0, 5)})
    session.zookeeper.meanwhile = lambda: session.zookeeper.put(NODE, b"[0, 9]")
    await stale.write({0: Mirrored(0, 7)})
    assert await owner.read([0]) == {0: Mirrored(0, 9)}
    await stale.write({0: Mirrored(0, 7)})
    assert await owner.read([0]) == {0: Mirrored(0, 9)}


@pytest.mark.parametrize("before", [[], [Mirrored(0, 5)]], ids=["created", "set"])
async def test_the_owner_tries_again_when_a_stale_one_wrote_at_the_same_moment(
    before: list[Mirrored], session: FakeSession
) -> None:
    owner = mirror_of(session)
    for floor in before:
        await owner.write({0: floor})
    session.zookeeper.meanwhile = lambda: session.zookeeper.put(NODE, b"[0, 6]")
    await owner.write({0: Mirrored(0, 9)})
    assert await owner.read([0]) == {0: Mirrored(0, 6)}
    await owner.write({0: Mirrored(0, 9)})  # nothing has changed since, and it is not there yet
    assert await owner.read([0]) == {0: Mirrored(0, 9)}


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 50))))
async def test_whoever_writes_in_whatever_order_the_mirror_never_goes_back(
    writes: list[tuple[int, int, int]],
) -> None:
    session = FakeSession(FakeZooKeeper())
    writers = [mirror_of(session) for _ in range(3)]
    highest = Mirrored(0, 0)
    for writer, era, floor in writes:
        await writers[writer].write({0: Mirrored(era, floor)})
        highest = max(highest, Mirrored(era, floor))
        assert await writers[0].read([0]) == {0: highest}


async def test_a_mirror_that_is_an_era_ahead_is_told_of_once(
    session: FakeSession, caplog: pytest.LogCaptureFixture
) -> None:
    session.zookeeper.put(NODE, b"[4, 1000]")
    mirror = mirror_of(session)
    for floor in (1, 2):
        await mirror.write({0: Mirrored(0, floor)})
    (record,) = caplog.records
    assert f"{NODE} is of era 4, this worker is at era 0" in record.message
    assert "delete that node" in record.message


async def test_zookeeper_being_away_is_said_once_and_once_more_when_it_is_back(
    mirror: Mirror, session: FakeSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    session.connected = False
    for floor in (1, 2, 3):
        await mirror.write({0: Mirrored(0, floor)})
    session.connected = True
    for _ in range(2):
        await mirror.write({0: Mirrored(0, 3)})
    assert await mirror.read([0]) == {0: Mirrored(0, 3)}
    assert [record.message for record in caplog.records] == [
        "floors are not mirrored at the moment, deliveries go on: not connected",
        "floors are mirrored again",
    ]


async def test_where_nobody_answers_nothing_is_known(
    mirror: Mirror, session: FakeSession, caplog: pytest.LogCaptureFixture
) -> None:
    session.connected = False
    assert await mirror.read([0, 1]) == {}
    assert "partitions [0, 1] cannot be read" in caplog.text


NOT_OURS = (
    b"", b"7", b"[1]", b"[1, 2, 3]", b'["0", "7"]', b"[0, -1]", b"[true, 5]", b"[0, 1.5]", b'[0, 1, "id"]',
    b'[0, 1, "", ""]',
)  # fmt: skip


@pytest.mark.parametrize("data", NOT_OURS)
async def test_a_node_that_somebody_else_has_written_counts_for_nothing_and_is_replaced(
    data: bytes, mirror: Mirror, zookeeper: FakeZooKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    zookeeper.put(NODE, data)
    assert await mirror.read([0]) == {}
    assert f"{NODE} does not hold an era and a floor" in caplog.text
    await mirror.write({0: Mirrored(0, 7)})
    assert await mirror.read([0]) == {0: Mirrored(0, 7)}
