"""What a worker is called: another name after each start, so that nobody is taken for who was there before."""

from __future__ import annotations

import os
import secrets
import socket


def worker_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
