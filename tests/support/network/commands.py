"""The commands that change the kernel's network."""

from __future__ import annotations

import subprocess


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
