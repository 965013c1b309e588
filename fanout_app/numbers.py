"""Numbers that nobody repeats or guesses, also after a restart and on other machines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from struct import iter_unpack
from typing import Final

#: Drawn from the system at a time, in bytes. Each draw is a system call, which takes longer than handing out a message.
_AT_A_TIME: Final = 4096


def numbers(bits: int) -> Iterator[int]:
    """Random ones of up to 64 bits, without end."""
    while True:
        for (number,) in iter_unpack("=Q", os.urandom(_AT_A_TIME)):
            yield number >> (64 - bits)
