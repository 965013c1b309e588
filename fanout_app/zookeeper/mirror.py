"""The mirror: floors kept in ZooKeeper as well, for the day on which neither changelog nor group know them.

One node a partition, ``offsets/<partition>``, holding era, floor and the topic's id. Each owner writes its own. Writes
are version-checked and only go forward inside an era, so a worker that lost its partition and does not know it yet
changes nothing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError

from fanout_app.core.start import Mirrored
from fanout_app.zookeeper.session import Contact, Session, ZooKeeperError, root_of

logger = logging.getLogger("fanout.zookeeper.mirror")

#: Seconds that a start waits for ZooKeeper to be there where Kafka knows nothing: a new session takes well under one.
_REACHED_WITHIN = 5.0
#: Seconds for one answer; below the limit of a whole call, so that its thread is free again when that is over.
_ANSWER = 4.0


class Mirror:
    """Reads and writes the floors of one id and topic."""

    def __init__(self, session: Session, id: str, topic: str) -> None:
        self._session = session
        self._path = f"{root_of(id, topic)}/offsets"
        self._written: dict[int, Mirrored] = {}
        self._silent = False
        #: Of which partitions it was said that their node is of this higher era.
        self._ahead: dict[int, int] = {}
        session.listen(self._on_contact)

    async def read(self, partitions: Iterable[int]) -> dict[int, Mirrored]:
        """What is mirrored of these partitions; nothing where ZooKeeper does not answer within a few seconds."""
        wanted = list(partitions)
        if not wanted:
            return {}
        try:
            await self._session.reached(_REACHED_WITHIN)
            return await self._session.call(lambda client: self._read(client, wanted))
        except ZooKeeperError as error:
            logger.warning("the mirrored floors of partitions %s cannot be read: %s", sorted(wanted), error)
            return {}

    async def write(self, floors: Mapping[int, Mirrored]) -> None:
        """Write what has changed. ZooKeeper being away is said once, and once more when it is back."""
        changed = {number: floor for number, floor in floors.items() if self._written.get(number) != floor}
        if not changed:
            return
        try:
            there = await self._session.call(lambda client: self._write(client, changed))
        except ZooKeeperError as error:
            if not self._silent:
                logger.warning("floors are not mirrored at the moment, deliveries go on: %s", error)
            self._silent = True
            return
        if self._silent:
            logger.warning("floors are mirrored again")
        self._silent = False
        for number, stands in there.items():
            self._written[number] = changed[number]
            self._tell_if_ahead(number, stands, changed[number])

    def _on_contact(self, contact: Contact) -> None:
        if contact is Contact.LOST:
            # A ZooKeeper that was made anew ends sessions that it does not know, and has none of our nodes.
            self._written.clear()

    def _tell_if_ahead(self, number: int, stands: Mirrored, ours: Mirrored) -> None:
        if stands.era > ours.era and self._ahead.get(number) != stands.era:
            self._ahead[number] = stands.era
            logger.warning(
                "partition %d: %s/%d is of era %d, this worker is at era %d and leaves it alone; if no other worker "
                "has sought meanwhile, the changelog was lost while ZooKeeper was away: delete that node",
                number, self._path, number, stands.era, ours.era,
            )  # fmt: skip

    # In the session's thread ------------------------------------------------------------------------------------------

    def _read(self, client: Any, partitions: list[int]) -> dict[int, Mirrored]:
        answers = {number: client.get_async(self._node(number)) for number in partitions}
        found = {}
        for number, answer in answers.items():
            try:
                stands = self._decode(number, answer.get(timeout=_ANSWER)[0])
            except NoNodeError:
                continue
            if stands is not None:
                found[number] = stands
        return found

    def _write(self, client: Any, changed: Mapping[int, Mirrored]) -> dict[int, Mirrored]:
        """Answers what stands there now; nothing of a partition where somebody else wrote at the same moment.

        That one is tried again: it may have been a worker that has lost the partition.
        """
        answers = {number: client.get_async(self._node(number)) for number in changed}
        there, writes = {}, {}
        for number, answer in answers.items():
            ours, data = changed[number], _encode(changed[number])
            try:
                before, stat = answer.get(timeout=_ANSWER)
            except NoNodeError:
                writes[number] = client.create_async(self._node(number), data, makepath=True)
                continue
            stands = self._decode(number, before)
            if stands is None or stands < ours:
                writes[number] = client.set_async(self._node(number), data, version=stat.version)
            else:
                there[number] = stands
        for number, write in writes.items():
            try:
                write.get(timeout=_ANSWER)
                there[number] = changed[number]
            except (BadVersionError, NodeExistsError):
                logger.debug("partition %d: somebody else has just written its floor", number)
        return there

    def _node(self, number: int) -> str:
        return f"{self._path}/{number}"

    def _decode(self, number: int, data: bytes) -> Mirrored | None:
        """What a node holds; nothing if it was not us who wrote that."""
        try:
            era, floor, *topic_id = json.loads(data)
            if type(era) is type(floor) is int and min(era, floor) >= 0:
                # An older version wrote no id.
                return Mirrored(era, floor, bytes.fromhex(*topic_id) if topic_id else b"")
        except (ValueError, TypeError):
            pass
        logger.warning("%s/%d does not hold an era and a floor, so it counts for nothing", self._path, number)
        return None


def _encode(floor: Mirrored) -> bytes:
    return json.dumps([floor.era, floor.floor, *([floor.topic_id.hex()] if floor.topic_id else [])]).encode()
