"""What changes the kernel's network."""

from __future__ import annotations

import subprocess
from pathlib import Path


def run(*command: str) -> None:
    """Do it.

    Raises:
        OSError: it was refused.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")


def ip(*arguments: str) -> None:
    run("ip", *arguments)


def answer_for_nobody(device: str) -> None:
    """It is a part of a cable: for an address of this side it is the switch alone that answers."""
    Path(f"/proc/sys/net/ipv4/conf/{device}/arp_ignore").write_text("8")
