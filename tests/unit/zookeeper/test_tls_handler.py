"""kazoo by TLS: what has been decrypted is not waited for, and one context decides whom to trust."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from kazoo.client import KazooClient

from fanout_app.tls import trusting
from fanout_app.zookeeper.login import Login, refused
from fanout_app.zookeeper.tls_handler import TlsHandler
from support.certificates import Authority
from support.eventually import eventually


class Server(NamedTuple):
    """It answers the first byte it gets with two messages in one record."""

    address: tuple[str, int]
    ca: Authority


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    ca = Authority(tmp_path / "ca")
    shown = ca.issue("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.cert, shown.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    plain, _ = listener.accept()
                except OSError:
                    return
                with suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
                    connection.recv(1)
                    connection.send(b"one.two.")
                    connection.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Server(listener.getsockname(), ca)
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_what_came_with_another_answer_is_ready_at_once(server: Server) -> None:
    handler = TlsHandler(trusting(server.ca.file, "--zookeeper-ca"))
    near, far = socket.socketpair()
    with near, far, handler.create_connection(server.address, "localhost", timeout=10) as connection:
        connection.send(b"?")
        assert connection.recv(4) == b"one."
        # The system has nothing for us any more, but OpenSSL has.
        assert handler.select([connection, near], [], [], 10)[0] == [connection]
        far.send(b"x")
        assert handler.select([connection, near], [], [], 10)[0] == [connection, near]
        assert connection.recv(4) == b"two."
        assert handler.select([connection, near], [], [], 10)[0] == [near]


def test_kazoos_own_handler_would_wait_for_it(server: Server) -> None:
    """Should this fail one day, the handler can go."""
    handler = TlsHandler(trusting(server.ca.file, "--zookeeper-ca"))
    with handler.create_connection(server.address, "localhost", timeout=10) as connection:
        connection.send(b"?")
        assert connection.recv(4) == b"one."
        assert super(TlsHandler, handler).select([connection], [], [], 0.2)[0] == []


@pytest.mark.parametrize("case", ["another CA", "another name"])
async def test_who_is_not_to_be_trusted_is_not_connected_and_it_is_said_why(
    case: str, server: Server, tmp_path: Path
) -> None:
    ca = Authority(tmp_path / "other") if case == "another CA" else server.ca
    login = Login(context=trusting(ca.file, "--zookeeper-ca"))
    # By the other name of this machine it would be right.
    host = "127.0.0.1" if case == "another CA" else "ip6-localhost"
    handler = login.client["handler"]
    with pytest.raises(ssl.SSLError):
        handler.create_connection(server.address, host, timeout=10)
    assert handler.refused
    client = KazooClient(f"127.0.0.1:{server.address[1]}", **login.client)
    if case == "another CA":
        client.start_async()
        await eventually(lambda: "unable to get local issuer certificate" in refused(client))
        client.stop()
    client.close()


def test_each_client_has_a_handler_of_its_own(server: Server) -> None:
    login = Login(context=trusting(server.ca.file, "--zookeeper-ca"))
    assert login.client["handler"] is not login.client["handler"]
    assert Login().client == {}
