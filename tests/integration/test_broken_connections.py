"""A connection to a broker that was lost this very moment, in the loop that workers run in."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from fanout_app.kafka.connections import break_cleanly
from support.cable import Cable
from support.stack import Stack


def test_what_is_sent_before_anybody_has_noticed_is_refused_with_an_error_of_kafkas(stack: Stack) -> None:
    async def send_until_it_is_lost() -> None:
        async with Cable.to(stack.brokers) as cable:
            host, port = cable.address.split(":")
            connection = await create_conn(host, int(port))
            assert (await connection.send(MetadataRequest([]))).brokers
            cable.reset()
            with pytest.raises(KafkaConnectionError):
                await send_in_every_turn(connection)

    async def send_in_every_turn(connection: AIOKafkaConnection) -> None:
        """Of the loop, so also in the one between the loss and its discovery by aiokafka's reader."""
        answers: list[asyncio.Future[object]] = []
        try:
            while True:
                answers.append(asyncio.ensure_future(connection.send(MetadataRequest([]))))
                await asyncio.sleep(0)
        finally:
            await asyncio.gather(*answers, return_exceptions=True)

    break_cleanly()
    uvloop.run(asyncio.wait_for(send_until_it_is_lost(), 20.0))
