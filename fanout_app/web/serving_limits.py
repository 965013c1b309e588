"""What one client may ask of the server before anything of its request is looked at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingLimits:
    """Times in seconds, sizes in bytes. The defaults are those of the options."""

    #: For the head of a request to arrive, and then for its body.
    request_timeout: float = 10.0
    #: In which a client must take something of an answer that does not leave.
    answer_timeout: float = 30.0
    #: Between two requests.
    idle_timeout: float = 120.0
    #: Of the first line of a request, and of each of its headers.
    header_size: int = 8 << 10
