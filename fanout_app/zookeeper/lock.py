"""The election by ZooKeeper: whose node is first in the lock's queue leads, and the node's creation id is the epoch.

kazoo's lock recipe does the queueing, with a new Lock object for every term: one whose session has ended goes on saying
that it is acquired. Its blocking `acquire` runs in a thread of its own, and what comes of that is believed by nobody:
whether this worker leads is asked of ZooKeeper again and again, by reading the node back. `sync` before it, since the
server asked may lag behind the others by seconds.

Nodes of ours that no term knows of any more (a clean-up that failed while the connection was away) are removed before
the next term queues, or this worker would hold the lock one day without knowing it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from kazoo.exceptions import KazooException, NoAuthError, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError

from fanout_app.ports import ElectionError
from fanout_app.zookeeper.session import Contact, Session, ZooKeeperError, root_of

T = TypeVar("T")

logger = logging.getLogger("fanout.zookeeper.lock")

#: Seconds between two attempts to queue where ZooKeeper does not let us.
_PAUSE = 0.5
_STOP_FOR = 2.0


class LockElection:
    """This worker's place in the queue. All but `_contend` and what it calls runs in the loop."""

    votes = True

    def __init__(
        self, session: Session, id: str, topic: str, worker: str, on_fault: Callable[[BaseException], None]
    ) -> None:
        """``on_fault`` is told, in the loop, of an error that the worker has to end for."""
        self._on_fault = on_fault
        self._session = session
        self._path = f"{root_of(id, topic)}/leader"
        self._worker = worker
        #: Apart from the session's own thread: a mirror that is slow to write must not cost us the lead.
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="fanout-lock-reader")
        self._contender = threading.Thread(target=self._contend, name="fanout-lock", daemon=True)
        self._term_over = threading.Event()
        self._stopping = threading.Event()
        self._lock: Any = None
        self._refused = False
        self._node: str | None = None

    def start(self, look: Callable[[], None], suspended: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._look = look
        self._suspended = suspended
        self._session.listen(self._on_contact)
        self._contender.start()

    async def stop(self) -> None:
        """Leave the queue, so that the next one leads at once. Returns within 2 s."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        if self._lock is not None:
            self._lock.cancel()
        try:
            async with asyncio.timeout(_STOP_FOR):
                await self.resign()
        except (ElectionError, TimeoutError):
            logger.debug("the lock's node could not be removed, it goes with the session", exc_info=True)
        self._term_over.set()
        self._reader.shutdown(wait=False)

    def _on_contact(self, contact: Contact) -> None:
        if contact is Contact.CONNECTED:
            self._look()
            return
        self._suspended()
        if contact is Contact.LOST:
            self._end_term()

    def _acquired(self, node: str) -> None:
        self._node = node
        self._look()

    def _end_term(self) -> None:
        """This node leads no more; the thread queues with another one."""
        self._node = None
        self._term_over.set()

    # What is asked of the election -----------------------------------------------------------------------------------

    async def held(self) -> int | None:
        node = self._node
        if node is None:
            return None
        created = await self._call(lambda client: _created(client, node, synced=True))
        if created is None and node == self._node:
            logger.debug("the lock's node %s is gone", node)
            self._end_term()
        return created

    async def resign(self) -> None:
        node = self._node
        if node is not None:
            await self._call(lambda client: _delete(client, node))
            if node == self._node:
                self._end_term()

    async def depose(self, epoch: int) -> bool:
        def find_and_delete(client: Any) -> bool:
            # By their place in the queue: who leads is at its head, and a long queue takes seconds to look through.
            for child in sorted(client.get_children(self._path), key=_place):
                if _created(client, f"{self._path}/{child}") == epoch:
                    _delete(client, f"{self._path}/{child}")
                    return True
            return False

        return await self._call(find_and_delete)

    async def _call(self, work: Callable[[Any], T]) -> T:
        try:
            return await self._session.call(work, thread=self._reader)
        except ZooKeeperError as error:
            raise ElectionError(f"ZooKeeper does not answer: {error}") from error

    # The thread that queues ------------------------------------------------------------------------------------------

    def _contend(self) -> None:
        while not self._stopping.is_set():
            try:
                self._one_term(self._session.client)
            except (KazooException, KazooTimeoutError) as error:
                if isinstance(error, NoAuthError) and not self._refused:
                    self._refused = True
                    logger.warning(
                        "ZooKeeper refuses this worker %s, so it will not lead: see --zookeeper-user and its password, "
                        "and what that user may do below /fanout",
                        self._path,
                    )
                logger.debug("not in the lock's queue: %r", error)
                self._stopping.wait(_PAUSE)
            except Exception as error:
                # Without this thread the worker would go on and never lead again.
                self._tell_loop(self._on_fault, error)
                return

    def _tell_loop(self, tell: Callable[[T], None], about: T) -> None:
        if not self._stopping.is_set():
            self._loop.call_soon_threadsafe(tell, about)

    def _one_term(self, client: Any) -> None:
        self._term_over.clear()
        self._remove_orphans(client)
        self._lock = client.Lock(self._path, self._worker)
        if self._stopping.is_set():
            return
        if self._lock.acquire():
            self._tell_loop(self._acquired, f"{self._path}/{self._lock.node}")
            self._term_over.wait()

    def _remove_orphans(self, client: Any) -> None:
        client.ensure_path(self._path)
        for child in client.get_children(self._path):
            path = f"{self._path}/{child}"
            stat = client.exists(path)
            if stat is not None and client.client_id is not None and stat.ephemeralOwner == client.client_id[0]:
                _delete(client, path)


def _place(child: str) -> str:
    """The number that ZooKeeper has given to a node of the queue: ten digits."""
    return child[-10:]


def _created(client: Any, path: str, *, synced: bool = False) -> int | None:
    """The creation id of a node, None if there is none."""
    if synced:
        client.sync(path)
    stat = client.exists(path)
    return None if stat is None else int(stat.czxid)


def _delete(client: Any, path: str) -> None:
    """Names in the queue are never used twice, so what is deleted is this node and no later one."""
    try:
        client.delete(path)
    except NoNodeError:
        logger.debug("%s is gone already", path)
