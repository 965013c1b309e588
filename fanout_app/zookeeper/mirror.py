"""The mirror: floors kept in ZooKeeper as well, for the day on which neither changelog nor group know them.

One node a partition, ``offsets/<partition>``, holding era and floor. Writes are version-checked and only go forward
inside an era, so a worker that lost its partition and does not know it yet changes nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError

from fanout_app.zookeeper.session import Session, ZooKeeperError, root_of

logger = logging.getLogger("fanout.zookeeper.mirror")


class Mirrored(NamedTuple):
    """Where a partition stands; compared as it reads, a higher era wins."""

    era: int
    floor: int


class Mirror:
    """Reads and writes the floors of one id and topic."""

    def __init__(self, session: Session, id: str, topic: str) -> None:
        self._session = session
        self._path = f"{root_of(id, topic)}/offsets"
        self._written: dict[int, Mirrored] = {}
        self._silent = False

    async def read(self, partitions: Iterable[int]) -> dict[int, Mirrored]:
        """What is mirrored of these partitions; nothing where ZooKeeper does not answer."""
        try:
            return await self._session.call(lambda client: self._read(client, list(partitions)))
        except ZooKeeperError as error:
            logger.warning("the mirrored floors cannot be read: %s", error)
            return {}

    async def write(self, floors: Mapping[int, Mirrored]) -> None:
        """Write what has changed. ZooKeeper being away is said once, and once more when it is back."""
        changed = {number: floor for number, floor in floors.items() if self._written.get(number) != floor}
        if not changed:
            return
        try:
            await self._session.call(lambda client: self._write(client, changed))
        except ZooKeeperError as error:
            if not self._silent:
                logger.warning("floors are not mirrored at the moment, deliveries go on: %s", error)
            self._silent = True
            return
        if self._silent:
            logger.warning("floors are mirrored again")
        self._silent = False
        self._written.update(changed)

    def _read(self, client: Any, partitions: list[int]) -> dict[int, Mirrored]:
        found = {}
        for number in partitions:
            try:
                found[number] = _decode(client.get(f"{self._path}/{number}")[0])
            except NoNodeError:
                continue
        return found

    def _write(self, client: Any, changed: Mapping[int, Mirrored]) -> None:
        for number, floor in changed.items():
            path = f"{self._path}/{number}"
            try:
                data, stat = client.get(path)
                if _decode(data) < floor:
                    client.set(path, json.dumps(floor).encode(), version=stat.version)
            except NoNodeError:
                try:
                    client.create(path, json.dumps(floor).encode(), makepath=True)
                except NodeExistsError:
                    logger.debug("partition %d: somebody else has just made its node", number)
            except BadVersionError:
                logger.debug("partition %d: somebody else has just written its floor", number)


def _decode(data: bytes) -> Mirrored:
    return Mirrored(*json.loads(data))
