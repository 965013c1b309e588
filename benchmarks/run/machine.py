"""What the figures were measured on, and of which sources."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

from benchmarks.peers.system import ROOT
from benchmarks.support import BIN


def machine() -> Mapping[str, str]:
    """Without the host's name."""
    return {
        "cpu": _cpu_model(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "workers": _fanout(),
    }


def load() -> float:
    """How many processes were running or wanted to, on average of the last minute."""
    return os.getloadavg()[0]


def commit() -> str:
    """Of fanout; "+" where files differ from it. Empty outside of a repository."""
    found = _git("rev-parse", "HEAD")
    return found + ("+" if found and _git("status", "--porcelain", "--untracked-files=no") else "")


def _fanout() -> str:
    """As the workers say it: the version, and whether it is compiled."""
    return subprocess.run([BIN / "fanout", "--version"], capture_output=True, text=True, check=True).stdout.strip()


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return value.strip()
    return platform.machine()


def _git(*words: str) -> str:
    try:
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
