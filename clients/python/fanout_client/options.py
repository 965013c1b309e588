"""What a client is told when it is made, and what it makes of that."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

import msgspec
from msgspec import UNSET

from fanout_client import wire

_LONGEST_NAME: Final = 200


def _made_up_name() -> str:
    return f"{socket.gethostname()[:100]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Of one client. Times are seconds."""

    #: Who asks: what fails at one client goes to another one. Default: a name that nobody else has.
    name: str = ""
    #: Whether nobody else can have this name.
    is_alone: bool = field(default=False, init=False)
    #: The group whose share this client takes part in; None: the token's, else ``stable``.
    group: str | None = None
    #: Sent as ``Authorization: Bearer``, to this client's own addresses alone.
    token: str | None = field(default=None, repr=False)
    #: How long a lease lasts, 0.05 to 43,200. It is extended while its message is worked on; this is how long it takes
    #: another client to get what one that died had.
    ack_wait: float = 30.0
    #: How long one request waits for a message, 0 to 50; the next one follows at once.
    wait: float = 20.0
    #: Bytes that an answer should not exceed by more than a message, to 16 MiB; None: the cluster's default, 1 MiB.
    max_bytes: int | None = None
    #: An ack is answered when Kafka has it. Otherwise a worker that crashes may forget it: the message comes again.
    durable: bool = True

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", _made_up_name())
            # To leave is for admins, where tokens are asked for.
            object.__setattr__(self, "is_alone", self.token is None)
        if len(self.name) > _LONGEST_NAME:
            raise ValueError(f"a client's name has 1 to {_LONGEST_NAME} characters")
        if not 0.05 <= self.ack_wait <= 43_200:
            raise ValueError("ack_wait is 0.05 to 43200 seconds")
        if not 0 <= self.wait <= 50:
            raise ValueError("wait is 0 to 50 seconds")

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.token is None else {"Authorization": f"Bearer {self.token}"}

    @property
    def path(self) -> str:
        """Where this client is, at each worker."""
        return f"/v1/clients/{quote(self.name, safe='')}"

    def pulls(
        self, *, messages: int, wait: float, settle: wire.Settle, receive_id: str, repeat: bool = False
    ) -> Callable[[int], wire.Request]:
        """The requests of one pull, each told how many attempts were made before."""

        def request(attempts: int) -> wire.Request:
            body = wire.PullRequest(
                client=self.name,
                group=UNSET if self.group is None else self.group,
                receive_id=receive_id,
                repeat=repeat or attempts > 0,
                max_messages=messages,
                wait_ms=round(wait * 1000),
                ack_wait_ms=round(self.ack_wait * 1000),
                max_bytes=UNSET if self.max_bytes is None else self.max_bytes,
                settle=self.settle(settle) if settle else UNSET,
            )
            return wire.pull(body)

        return request

    def wait_with(self, settle: wire.Settle, left: int, wait: float | None) -> float:
        """Seconds that a pull waits which has this riding along, and leaves so many entries for the next one."""
        if left:
            return 0.0
        if wait is not None:
            return wait
        # What rides along is answered with the messages, and may have to be sent again before its leases end.
        return min(self.wait, self.ack_wait / 3) if settle else self.wait

    def settle(self, settle: wire.Settle) -> wire.Settle:
        return msgspec.structs.replace(settle, durable=self.durable)
