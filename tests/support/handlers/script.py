"""What a message tells its handler to do, and what the handler tells the test."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from fanout_client import Message, Nack, Reject


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", required=True)
    parser.add_argument("--name", default="")
    parser.add_argument("--token", default="")
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--ack-wait", type=float, default=30.0)
    return parser.parse_args()


class Script:
    """One message's."""

    def __init__(self, message: Message) -> None:
        self.said: dict[str, Any] = message.json()
        self.seconds = float(self.said.get("for", 0.0))
        self._count = message.delivery_count

    def begin(self) -> None:
        self._tell("begin")

    def end(self) -> None:
        """Raises what the message says."""
        then = self.said.get("then", "ok")
        if isinstance(then, list):
            then = then[min(self._count, len(then)) - 1]
        self._tell(then)
        if then == "fail":
            raise ValueError("as it was told")
        if then == "nack":
            raise Nack("as it was told", delay=self.said.get("delay"))
        if then == "reject":
            raise Reject("as it was told")

    def _tell(self, what: str) -> None:
        sys.stdout.write(json.dumps({"event": what, "n": self.said["n"], "count": self._count}) + "\n")
        sys.stdout.flush()
