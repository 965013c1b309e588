"""An answer on its way through this worker: made by another one, for a client that asked here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from fanout_app.alarm import Alarm
from fanout_app.cluster.answering import LOAN
from fanout_app.cluster.frames import Confirm, GiveBack, Handed, Hold
from fanout_app.cluster.ports import Peer


class Relayed:
    """An answer that another worker has made for a client of this one, on loan until it is confirmed."""

    def __init__(self, peer: Peer, frame: Handed) -> None:
        self._peer = peer
        self._frame = frame
        #: The worker that gave it counts from a moment before it arrived here: half of the time is for the way.
        self._until = monotonic() + LOAN / 2
        self._deadline = monotonic() + frame.lasts

    @property
    def messages(self) -> int:
        return self._frame.messages

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        return self._frame.headers

    @property
    def body(self) -> bytes | None:
        return self._frame.body

    @property
    def left(self) -> float:
        """Seconds until the last of its leases ends."""
        return self._deadline - monotonic()

    @property
    def good(self) -> bool:
        """False if it may be somebody else's by now: this process was stopped, or busy, for too long."""
        return monotonic() < self._until

    def confirm(self) -> None:
        """The client has it."""
        self._peer.send(Confirm(self._frame.number))

    def give_back(self) -> None:
        """It did not reach the client."""
        self._peer.send(GiveBack(self._frame.number))

    @contextmanager
    def held(self) -> Iterator[None]:
        """While it is being written to a client that takes its time."""
        alarm = Alarm(lambda: self._hold(alarm))
        alarm.at(monotonic() + LOAN / 4)
        try:
            yield
        finally:
            alarm.cancel()

    def _hold(self, alarm: Alarm) -> None:
        self._peer.send(Hold(self._frame.number))
        alarm.at(monotonic() + LOAN / 4)
