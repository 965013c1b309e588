"""What is kept in ZooKeeper, as an operator sees it."""

from __future__ import annotations

import asyncio
import json

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError


async def mirrored(zookeepers: str, id: str, topic: str) -> dict[int, tuple[int, int]]:
    """Partition -> era and floor, as mirrored of this id and topic."""
    return await asyncio.to_thread(_mirrored, zookeepers, f"/fanout/{id}/{topic}/offsets")


def _mirrored(zookeepers: str, path: str) -> dict[int, tuple[int, int]]:
    client = KazooClient(zookeepers)
    client.start(timeout=30)
    try:
        nodes = client.get_children(path)
        pairs = {int(node): json.loads(client.get(f"{path}/{node}")[0]) for node in nodes}
    except NoNodeError:
        return {}
    finally:
        client.stop()
        client.close()
    return {partition: (era, floor) for partition, (era, floor, *_topic_id) in pairs.items()}
