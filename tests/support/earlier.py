"""A checkout of an earlier commit, with an environment of its own, to start workers of that version from."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.stack import ROOT


def earlier_bin(commit: str) -> Path:
    """The folder of that version's commands; made at the first call, which installs its packages.

    Raises:
        RuntimeError: this clone does not have the commit.
    """
    folder = ROOT / ".local" / "earlier" / commit
    known = subprocess.run(
        ["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=ROOT, check=False, capture_output=True
    )
    if known.returncode:
        raise RuntimeError(f"commit {commit} is not in this clone, which is shallow: git fetch --unshallow, then again")
    if not folder.exists():
        subprocess.run(["git", "worktree", "prune"], cwd=ROOT, check=True)
        subprocess.run(["git", "worktree", "add", "--detach", str(folder), commit], cwd=ROOT, check=True)
    subprocess.run([str(folder / "bin" / "deps")], cwd=folder, check=True)
    return folder / ".venv" / "bin"
