"""How often the queue looks, where many stand back. Not with the tests of the core, which also run compiled: what calls
what cannot be exchanged there."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from fanout_app.core import dispatcher
from fanout_app.core.picking import pick
from unit.core.desk import ACK_WAIT, Desk, lease


@pytest.mark.parametrize("clients", [10, 1000])
def test_however_many_stand_back_who_does_not_is_found_at_once(monkeypatch: pytest.MonkeyPatch, clients: int) -> None:
    desk = Desk()
    desk.fetch(*range(clients + 1))
    names = [str(number) for number in range(clients)]
    for name in names:
        desk.pull(name)
    desk.ack(lease(desk.pull("alive")))
    for name in names:
        desk.wait(name)
    desk.wait("alive", clients)
    desk.pass_time(ACK_WAIT)
    looks = Mock(side_effect=pick)
    monkeypatch.setattr(dispatcher, "pick", looks)
    assert desk.serve() == [("alive", [*range(clients)])]
    assert looks.call_count == 2
