"""Where a worker serves: what was asked for, else the first free default port; for others only if that is meant."""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack

import pytest

from fanout_app.core.errors import StartError
from fanout_app.web import listening


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Three neighbouring ports that are free, as the default ones."""
    for first in range(20000, 30000, 10):
        found = range(first, first + 3)
        with ExitStack() as stack:
            try:
                for port in found:
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
        monkeypatch.setattr(listening, "DEFAULT_PORTS", found)
        return list(found)
    raise AssertionError("no three free ports")


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def test_those_that_start_at_once_get_one_default_port_each_until_none_is_left(
    ports: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with listening.listen(None) as one, listening.listen(None) as two, listening.listen(None) as three:
        assert [port_of(one), port_of(two), port_of(three)] == ports
        assert f"port {ports[0]} is taken, serving at {ports[2]}" in caplog.text
        with pytest.raises(StartError, match="--bind"):
            listening.listen(None)


def test_an_address_that_was_asked_for_is_not_exchanged_for_another(ports: list[int]) -> None:
    address = f"127.0.0.1:{ports[0]}"
    with listening.listen(address), pytest.raises(StartError, match=f"cannot serve at {address}.*--bind"):
        listening.listen(address)


@pytest.mark.parametrize(("bind", "host"), [(None, "127.0.0.1"), ("127.0.0.2:0", "127.0.0.2")])
def test_operators_are_served_at_the_host_of_clients_or_the_start_is_refused(bind: str | None, host: str) -> None:
    with listening.listen_for_operators(bind, 0) as listener:
        port = port_of(listener)
        with pytest.raises(StartError, match=re.escape(f"cannot serve at {host}:{port}") + ".*--admin-port"):
            listening.check(bind, port, insecure=False)
    listening.check(bind, port, insecure=False)


@pytest.mark.parametrize(
    ("bind", "reachable"),
    [
        (None, False),
        ("127.0.0.1:0", False),
        ("127.7.7.7:0", False),
        ("[::1]:0", False),
        ("localhost:0", False),
        ("0.0.0.0:0", True),
        ("[::]:0", True),
        ("192.0.2.1:0", True),
    ],
)
def test_what_others_can_reach_is_served_only_where_that_is_meant(bind: str | None, reachable: bool) -> None:
    assert listening.exposed(bind) is reachable
    if reachable:
        with pytest.raises(StartError, match=r"--tokens-file.*--insecure"):
            listening.check(bind, insecure=False)
    else:
        listening.check(bind, insecure=False)


@pytest.mark.parametrize(("insecure", "tokens"), [(True, False), (False, True)])
def test_what_is_meant_or_asks_for_tokens_may_be_served_beyond_this_machine(insecure: bool, tokens: bool) -> None:
    listening.check("0.0.0.0:0", insecure=insecure, tokens=tokens)
