"""To whom a process is connected, as the kernel sees it."""

from __future__ import annotations

from pathlib import Path

_ESTABLISHED = "01"


def connected_to(pid: int, addresses: list[str]) -> set[str]:
    """Those of these ``127.0.0.1:PORT`` that this process has a connection to."""
    sockets = {link for fd in Path(f"/proc/{pid}/fd").iterdir() if (link := _target(fd)).startswith("socket:")}
    lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    ports = {
        int(remote.rpartition(":")[2], 16)
        for _, _, remote, state, *rest in lines
        if state == _ESTABLISHED and f"socket:[{rest[5]}]" in sockets
    }
    return {address for address in addresses if int(address.rpartition(":")[2]) in ports}


def _target(fd: Path) -> str:
    try:
        return str(fd.readlink())
    except FileNotFoundError:
        return ""
