"""What a history has come to so far, told of each event as it is written. Pure."""

from __future__ import annotations

from support.histories.events import OK, AnyEvent, DrainBegan, Produced, Pulled, Settled, Settling, Struck


class Progress:
    def __init__(self) -> None:
        self.produced = 0
        self.handed = 0
        self.again = 0
        self.settled = 0
        self.strikes = 0
        self._at = 0.0
        self._draining = False
        #: By the numbers of their strikes.
        self._now: dict[int, str] = {}
        self._bodies: set[str] = set()
        self._asked: dict[int, Settling] = {}

    def see(self, event: AnyEvent) -> None:
        self._at = event.at
        match event:
            case Produced(outcome="ok"):
                self.produced += 1
            case Pulled():
                for message in event.messages:
                    self.handed += 1
                    self.again += message.body in self._bodies
                    self._bodies.add(message.body)
            case Settling():
                self._asked[event.op] = event
            case Settled():
                entries = self._asked.pop(event.op).entries
                for entry, status in zip(entries, event.statuses, strict=False):
                    self.settled += status in (OK, "late") and entry.verb in ("ack", "reject")
            case Struck(over=False):
                self.strikes += 1
                self._now[event.strike] = event.trouble
            case Struck():
                self._now.pop(event.strike, None)
            case DrainBegan():
                self._draining = True
            case _:
                pass

    def line(self) -> str:
        now = "draining" if self._draining else ", ".join(self._now.values()) or "calm"
        return (
            f"{self._at:7.1f} s  {self.produced} produced, {self.handed} handed out, {self.settled} settled, "
            f"{self.again} again; strikes {self.strikes}: {now}"
        )
