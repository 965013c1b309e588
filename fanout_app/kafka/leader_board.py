"""The board as the leader and those who follow it use it: the leader's record, and every heartbeat in its order."""

from __future__ import annotations

import logging
from typing import Protocol

from fanout_app.core.errors import RowError
from fanout_app.core.heartbeat_row import decode_heartbeat
from fanout_app.core.roster import Heartbeat, Roster
from fanout_app.kafka.board_feed import BoardRecord
from fanout_app.kafka.cluster import Cluster

logger = logging.getLogger("fanout.kafka.leader_board")


class Follower(Protocol):
    """Who is told, see `fanout_app.leading.Leading`."""

    def hear_leader(self, row: bytes, received: float, *, live: bool) -> None: ...
    def hear_worker(self, heartbeat: Heartbeat, received: float) -> None: ...


class LeaderBoard:
    """Between the board and `Leading`."""

    def __init__(self, cluster: Cluster, id: str, topic: str) -> None:
        self._cluster = cluster
        self._id = id
        self._topic = topic

    @property
    def roster(self) -> Roster:
        return self._cluster.roster

    @property
    def last_acknowledged(self) -> float:
        return self._cluster.last_acknowledged

    async def write(self, key: str, value: bytes) -> None:
        """Raises SourceError if Kafka does not take it within 3 s."""
        await self._cluster.writer.write(key, value)

    def tell(self, key: str, follower: Follower) -> None:
        """Tell of what stands under this key, and of all heartbeats. What cannot be read is left out."""

        def hear_leader(record: BoardRecord) -> None:
            if record.key == key and record.value is not None:
                try:
                    follower.hear_leader(record.value, record.received, live=record.live)
                except RowError as error:
                    logger.debug("%s: %s", key, error)

        def hear_worker(record: BoardRecord) -> None:
            if record.live and record.value is not None:
                try:
                    heartbeat = decode_heartbeat(record.value, id=self._id, topic=self._topic)
                except RowError as error:
                    logger.debug("%s: %s", record.key, error)
                    return
                follower.hear_worker(heartbeat, record.received)

        self._cluster.feed.on(key, hear_leader)
        self._cluster.feed.on("worker/", hear_worker)
