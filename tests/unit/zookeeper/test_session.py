"""What kazoo says in its threads reaches listeners in the loop, in order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from kazoo.protocol.states import KazooState

from fanout_app.zookeeper import session
from fanout_app.zookeeper.session import Contact, Session


class FakeClient:
    """A kazoo client that changes its state when it is told to, in a thread of its own."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.connected = False
        self.listener: Callable[[str], Any] = lambda state: None

    def add_listener(self, listener: Callable[[str], Any]) -> None:
        self.listener = listener

    def start_async(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass

    def changes(self, *states: str) -> None:
        thread = threading.Thread(target=lambda: [self.listener(state) for state in states])
        thread.start()
        thread.join()


async def test_a_change_of_contact_reaches_every_listener_in_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeClient()
    monkeypatch.setattr(session, "KazooClient", lambda *_, **__: fake)
    one = Session("zk:2181", 6.0)
    heard: list[tuple[str, Contact, threading.Thread]] = []
    one.listen(lambda contact: heard.append(("first", contact, threading.current_thread())))
    one.listen(lambda contact: heard.append(("second", contact, threading.current_thread())))
    one.start()

    fake.changes(KazooState.CONNECTED, KazooState.SUSPENDED, KazooState.LOST)
    assert heard == []  # nothing is called in kazoo's thread
    await asyncio.sleep(0)
    await one.stop()
    here = threading.current_thread()
    assert heard == [
        (name, contact, here)
        for contact in (Contact.CONNECTED, Contact.SUSPENDED, Contact.LOST)
        for name in ("first", "second")
    ]
