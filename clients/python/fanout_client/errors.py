"""What can go wrong, and what a handler says that its message is to become."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

#: How the types of fanout's problems begin (`docs/api.md`, Errors).
_TYPE: Final = "urn:fanout:problem:"


class FanoutError(Exception):
    """The root of all errors of this package."""


class RefusedError(FanoutError):
    """The cluster has refused a request, and would again: a token that is not good, a field that cannot be."""

    def __init__(self, status: int, kind: str, detail: str, faults: Sequence[tuple[str, str]] = ()) -> None:
        """``kind`` is the problem's type as a word (``invalid-field``); ``faults`` are fields and what ails them."""
        self.status = status
        self.kind = kind.removeprefix(_TYPE)
        self.detail = detail
        self.faults = tuple(faults)
        fields = "".join(f"; {field}: {fault}" for field, fault in self.faults)
        super().__init__(f"{status} {self.kind}: {detail}{fields}")


class UnknownAddressError(FanoutError):
    """A worker sends this client to an address that it was not given, and it has a token, which is not for anybody."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__(
            f"a worker redirects to {address}, which is none of this client's addresses, so its token is not sent "
            "there: name that worker among the addresses too, or start the workers with --routing forward"
        )


class GivenUpError(FanoutError):
    """The cluster did not answer for as long as anybody waited for it."""

    def __init__(self) -> None:
        super().__init__("no worker has answered")


class Nack(FanoutError):
    """Raised by a handler: the message is for another client, after ``delay`` seconds (None: the cluster's backoff).

    Any other exception means the same, with its text as the reason.
    """

    def __init__(self, reason: str = "", *, delay: float | None = None) -> None:
        self.reason = reason
        self.delay = delay
        super().__init__(reason)


class Reject(FanoutError):
    """Raised by a handler: nobody shall get this message again; it goes to the dead-letter topic, or is parked."""

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        super().__init__(reason)
