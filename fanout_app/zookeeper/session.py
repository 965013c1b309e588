"""A kazoo client that an event loop can use.

kazoo runs its own threads and its calls block, so every call goes through one thread of ours with a time limit, and
listeners may do nothing but hand over to the loop. ZooKeeper being down is no fault here: calls fail with
`ZooKeeperError` and the client goes on trying to connect.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import Any, TypeVar

from kazoo.client import KazooClient
from kazoo.exceptions import (
    ConnectionClosedError,
    KazooException,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    SessionExpiredError,
)
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.retry import KazooRetry

from fanout_app.core.errors import FanoutError, StartError, UnansweredError
from fanout_app.zookeeper.login import NOBODY, Login, refused

logger = logging.getLogger("fanout.zookeeper.session")

T = TypeVar("T")

_CALL_TIMEOUT = 5.0
_CONNECT_TIMEOUT = 10.0
#: Seconds after which a person at a terminal should know what is waited for.
_SAID_AFTER = 1.0
#: The longest pause in seconds between two tries to connect at a start, which is all over in a few.
_START_PAUSE = 1.0


class ZooKeeperError(FanoutError):
    """ZooKeeper did not do what was asked, or not in time."""


class Contact(Enum):
    """How it stands between us and ZooKeeper; the values are kazoo's."""

    CONNECTED = "CONNECTED"
    #: No server answers; the session lives on or has ended, nobody here can know.
    SUSPENDED = "SUSPENDED"
    #: A server has said that the session has ended, and with it all that lived as long as it did.
    LOST = "LOST"


def root_of(id: str, topic: str) -> str:
    """The node that everything of one id and topic is kept under."""
    return f"/fanout/{id}/{topic}"


class Session:
    """One ZooKeeper session."""

    def __init__(self, hosts: str, timeout: float, login: Login = NOBODY) -> None:
        """ZooKeeper ends the session after ``timeout`` seconds without word of us."""
        #: For those that have threads of their own to wait in.
        retry = KazooRetry(max_tries=-1, max_delay=2.0)
        self.client = KazooClient(hosts, timeout=timeout, connection_retry=retry, **login.client)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fanout-zookeeper")
        self._hosts = hosts
        self._in_contact = asyncio.Event()
        self._listeners: list[Callable[[Contact], None]] = []

    def listen(self, listener: Callable[[Contact], None]) -> None:
        """Have this called in the loop at every change of contact, in the order in which they happened."""
        self._listeners.append(listener)

    def start(self) -> None:
        """Connect in the background."""
        loop = asyncio.get_running_loop()

        def changed(state: str) -> None:
            # In a thread of kazoo's, which must not be held up: whoever waits for kazoo in it waits for ever.
            loop.call_soon_threadsafe(self._tell, Contact(state))

        self.client.add_listener(changed)
        self.client.start_async()

    def _tell(self, contact: Contact) -> None:
        if contact is Contact.CONNECTED:
            self._in_contact.set()
        else:
            self._in_contact.clear()
        for listener in self._listeners:
            listener(contact)

    async def stop(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        self.client.stop()
        self.client.close()

    async def reached(self, within: float) -> None:
        """Wait until a server has answered, for a session that has just been started.

        Raises:
            ZooKeeperError: none did within so many seconds.
        """
        try:
            async with asyncio.timeout(within):
                await self._in_contact.wait()
        except TimeoutError as error:
            raise ZooKeeperError(f"none of {self._hosts} answers within {within:g} s") from error

    async def call(
        self, work: Callable[[Any], T], timeout: float = _CALL_TIMEOUT, thread: ThreadPoolExecutor | None = None
    ) -> T:
        """Do something with the client in its thread, or in that of whoever must not wait for others.

        Raises:
            ZooKeeperError: not connected, refused, or no answer within ``timeout`` seconds.
        """
        if not self.client.connected:
            raise ZooKeeperError(f"not connected to any of {self._hosts}")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                return await loop.run_in_executor(thread or self._thread, work, self.client)
        except (KazooException, KazooTimeoutError, TimeoutError) as error:
            raise ZooKeeperError(repr(error)) from error


def lease_key(hosts: str, login: Login, id: str, topic: str, fresh: bytes) -> bytes:
    """The lease key of this id and topic: ``fresh``, unless somebody has kept one there before.

    Raises:
        UnansweredError: ZooKeeper does not answer; without the key no token could be checked.
        StartError: it does not let us in.
    """
    client = KazooClient(
        hosts,
        timeout=_CONNECT_TIMEOUT,
        connection_retry=KazooRetry(max_tries=-1, max_delay=_START_PAUSE),
        **login.client,
    )
    path = f"{root_of(id, topic)}/lease-key"
    try:
        connected = client.start_async()
        if not connected.wait(_SAID_AFTER):
            logger.info("no ZooKeeper answers at %s; trying for %.0f s", hosts, _CONNECT_TIMEOUT)
            connected.wait(_CONNECT_TIMEOUT - _SAID_AFTER)
        if not client.connected:
            raise ConnectionClosedError
        try:
            client.create(path, fresh, makepath=True)
        except NodeExistsError:
            return bytes(client.get(path)[0])
        return fresh
    except (KazooTimeoutError, ConnectionClosedError, SessionExpiredError) as error:
        if why := refused(client):
            raise StartError(
                f"ZooKeeper at {hosts} and this worker do not agree on TLS ({why}): correct --zookeeper-ca or "
                "--zookeeper-cert, or give the secureClientPort in --zookeepers"
            ) from error
        raise UnansweredError(
            f"no ZooKeeper answers at {hosts} within {_CONNECT_TIMEOUT:.0f} s, and the lease key is kept there: start "
            "it, correct --zookeepers, give --lease-key-file to every worker, or do without: --zookeepers none"
        ) from error
    except NoNodeError as error:
        raise StartError(
            f"ZooKeeper has no node /{hosts.partition('/')[2]}, below which --zookeepers {hosts} keeps everything: "
            "create it, or leave it out there"
        ) from error
    except NoAuthError as error:
        raise StartError(
            f"ZooKeeper at {hosts} refuses {path}: allow {login} to create, read and write below /fanout (correct "
            "--zookeeper-user and its password, if others have made it), or do without: --zookeepers none"
        ) from error
    except KazooException as error:
        raise StartError(
            f"ZooKeeper at {hosts} cannot be used ({type(error).__name__} {error}): correct --zookeepers, or do "
            "without: --zookeepers none"
        ) from error
    finally:
        client.stop()
        client.close()
