"""Whether a server answers its own protocol: the only proof taken that it is ready."""

from __future__ import annotations

import socket
import struct

TIMEOUT = 2.0
API_VERSIONS, METADATA = 18, 3
NO_ERROR = 0


def zookeeper_serves(host: str, port: int) -> bool:
    """A member of an ensemble without a quorum answers too, but names no mode."""
    try:
        with socket.create_connection((host, port), TIMEOUT) as connection:
            connection.sendall(b"srvr")
            answer = b""
            while part := connection.recv(4096):
                answer += part
    except OSError:
        return False
    return b"\nMode: " in answer


def listed_brokers(host: str, port: int) -> set[int]:
    """The node ids of the brokers that take part, as the broker there sees it; none when it is not ready.

    Brokers that are fenced, as each is while it starts, are left out of a metadata answer by Kafka itself.
    """
    try:
        with socket.create_connection((host, port), TIMEOUT) as connection:
            versions = _ask(connection, API_VERSIONS, 0, b"")
            if struct.unpack_from(">h", versions)[0] != NO_ERROR:
                return set()
            no_topics = struct.pack(">i", 0)
            return _node_ids(_ask(connection, METADATA, 1, no_topics))
    except (OSError, struct.error):
        return set()


def _ask(connection: socket.socket, api: int, version: int, body: bytes) -> bytes:
    client_id = b"stack"
    request = struct.pack(">hhih", api, version, 1, len(client_id)) + client_id + body
    connection.sendall(struct.pack(">i", len(request)) + request)
    (length,) = struct.unpack(">i", _read(connection, 4))
    return _read(connection, length)[4:]  # behind the correlation id


def _read(connection: socket.socket, length: int) -> bytes:
    read = b""
    while len(read) < length:
        part = connection.recv(length - len(read))
        if not part:
            raise ConnectionResetError("closed in the middle of an answer")
        read += part
    return read


def _node_ids(metadata: bytes) -> set[int]:
    (count,) = struct.unpack_from(">i", metadata)
    position = 4
    found = set()
    for _ in range(count):
        node_id, host_length = struct.unpack_from(">ih", metadata, position)
        position += 6 + host_length + 4  # the host and the port
        (rack_length,) = struct.unpack_from(">h", metadata, position)
        position += 2 + max(rack_length, 0)
        found.add(node_id)
    return found
