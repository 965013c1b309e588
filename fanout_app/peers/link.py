"""One connection to another worker: frames in order, several to a message where they come at once."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import Any, Final, Protocol

import aiohttp
import msgspec

from fanout_app.alarm import Alarm
from fanout_app.cluster.frames import Frame
from fanout_app.cluster.ports import PeerListener

logger = logging.getLogger("fanout.peers.link")

#: Seconds after which who has heard nothing asks, and waits half as long again before the connection is lost. What is
#: under way on it does not wait for that, see `fanout_app.cluster.answering.LOAN`.
HEARTBEAT: Final = 2.0
#: Each end says something so often, if only that it has nothing to say. Whoever sends a large answer down a thin line
#: is not to ask and wait: the question would come behind all of that, and so would what it is answered.
_SAYS_SOMETHING_EVERY: Final = HEARTBEAT / 2

#: What is raised for bytes that are no frames at all.
_MALFORMED: Final = (msgspec.MsgspecError, ValueError, RecursionError)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[msgspec.Raw])
_frame_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Frame)


class Socket(Protocol):
    """What both ends of a WebSocket have in common in aiohttp."""

    async def send_bytes(self, data: bytes) -> None: ...
    async def receive(self) -> aiohttp.WSMessage: ...
    async def close(self) -> bool: ...


class Link:
    """A `Peer`."""

    def __init__(self, name: str, socket: Socket) -> None:
        self.name = name
        self._socket = socket
        self._out: list[Frame] = []
        self._wake = asyncio.Event()
        self._said_something = False
        self._silence = Alarm(self._end_silence)
        self._dropped = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Link {self.name}>"

    def send(self, frame: Frame) -> None:
        self._out.append(frame)
        self._wake.set()

    def drop(self) -> None:
        """Give the connection up: whoever is at its other end does not do its part."""
        self._dropped.set()

    async def run(self, listener: PeerListener) -> None:
        """Bring frames to and fro until the connection is lost, dropped, or this is cancelled."""
        listener.joined(self)
        self._silence.at(monotonic() + _SAYS_SOMETHING_EVERY)
        ends = [
            asyncio.create_task(work, name=f"link-{self.name}")
            for work in (self._read(listener), self._write(), self._dropped.wait())
        ]
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in done:
                end.result()
        except (aiohttp.ClientError, ConnectionError) as error:
            logger.debug("the connection to %s was lost: %r", self.name, error)
        finally:
            self._silence.cancel()
            listener.lost(self)
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)

    async def _read(self, listener: PeerListener) -> None:
        while True:
            message = await self._socket.receive()
            if message.type is not aiohttp.WSMsgType.BINARY:
                logger.debug("the connection to %s ends: %s", self.name, message.type.name)
                return
            try:
                frames = self._frames(message.data)
            except _MALFORMED as error:
                logger.warning("worker %s sends what is no frame, the connection to it ends: %s", self.name, error)
                return
            for frame in frames:
                listener.received(self, frame)

    def _frames(self, data: bytes) -> list[Frame]:
        frames: list[Frame] = []
        for raw in _decoder.decode(data):
            try:
                frames.append(_frame_decoder.decode(raw))
            except msgspec.ValidationError as error:
                # Of a newer version: it knows of ours and gets on without an answer.
                logger.debug("a frame of %s is passed over: %s", self.name, error)
        return frames

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            frames, self._out = self._out, []
            self._said_something = True
            await self._socket.send_bytes(_encoder.encode(frames))

    def _end_silence(self) -> None:
        if not self._said_something:
            self._wake.set()
        self._said_something = False
        self._silence.at(monotonic() + _SAYS_SOMETHING_EVERY)
