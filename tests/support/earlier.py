"""A checkout of an earlier commit, to start workers of that version from."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.stack import ROOT


def earlier_bin(commit: str) -> Path:
    """The folder of that version's commands, with the packages that it asked for; the first call installs them.

    Raises:
        RuntimeError: this clone does not have the commit.
    """
    folder = earlier_source(commit)
    subprocess.run([str(folder / "bin" / "deps")], cwd=folder, check=True)
    return folder / ".venv" / "bin"


def earlier_source(commit: str) -> Path:
    """The folder of that version's source, for those whose packages are good enough for it: a PYTHONPATH.

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
    return folder
