"""How messages are to be handled: what neither kind of client can do otherwise."""

from __future__ import annotations


def check(size: int, concurrency: int) -> None:
    """Raises ValueError where a handler cannot be given so many messages, or so many handlers cannot run."""
    if not 1 <= size <= 1000:
        raise ValueError("a batch has 1 to 1000 messages")
    if concurrency < 1:
        raise ValueError("at least one handler has to run")
