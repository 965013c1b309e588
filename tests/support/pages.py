"""The commands that the documents show: which of them are to be run, and running them as they stand.

A comment before a block says what is done with it:

- ``<!-- run -->``: it is run behind those before it on its page, in one shell, in a copy of this checkout.
- ``<!-- not run: REASON -->``: it is not, for this reason.
- ``<!-- shows -->``, before a block that is no shell's: what the block before it prints. Three dots stand for
  anything, and white space does not count.

Every block of a shell has one of the first two. One that names no language is taken for a shell's.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATTERNS = ("README.md", "CONTRIBUTING.md", "docs/*.md", "clients/*/README.md", "examples/*/README.md")

_SHELLS = ("", "sh", "bash", "shell", "console")
_MARK = re.compile(r"\s*<!-- (run|shows|not run: \S.*) -->\s*")
_ANY_MARK = re.compile(r"\s*<!-- *(?:not )?(?:run|shows)\b.*")
_FENCE = re.compile(r"\s*```(\S*)\s*")
#: Seconds for all of a page: most of it is servers that start.
_WITHIN = 180.0
#: In front of everything: a request that is refused is a command that fails, as far as `curl` is told.
_CURL_OPTIONS = "fail-with-body\n"


def pages() -> list[Path]:
    """Every document whose commands are looked after."""
    return sorted(path for pattern in PATTERNS for path in ROOT.glob(pattern))


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences; ``mark`` is what the comment before it says, empty where there is none."""

    line: int
    language: str
    mark: str
    text: str

    @property
    def of_shell(self) -> bool:
        return self.language in _SHELLS

    @property
    def is_run(self) -> bool:
        return self.mark == "run"

    @property
    def is_shown(self) -> bool:
        return self.mark == "shows"


def blocks(text: str) -> list[Block]:
    """All of a page, in order."""
    return list(_blocks(text.splitlines()))


def _blocks(lines: list[str]) -> Iterator[Block]:
    number = 0
    while number < len(lines):
        fence = _FENCE.fullmatch(lines[number])
        if fence is not None:
            mark = _MARK.fullmatch(lines[number - 1]) if number else None
            begin = number
            number += 1
            while number < len(lines) and not _FENCE.fullmatch(lines[number]):
                number += 1
            yield Block(begin + 1, fence[1], mark[1] if mark else "", "\n".join(lines[begin + 1 : number]))
        number += 1


def faults(text: str) -> list[str]:
    """What is wrong with the marks of a page, each with its line."""
    found = []
    before: Block | None = None
    every = blocks(text)
    for block in every:
        if block.of_shell and not block.is_run and not block.mark.startswith("not run: "):
            found.append(
                f"line {block.line}: no mark says whether this is run: <!-- run --> or <!-- not run: REASON --> in the "
                "line before it, or the language of what is no shell's (```text)"
            )
        elif not block.of_shell and block.mark and not block.is_shown:
            found.append(f"line {block.line}: only blocks of a shell are run, this is {block.language}")
        elif block.is_shown and (before is None or not before.is_run):
            found.append(f"line {block.line}: the block before it is not run, so it shows nothing")
        before = block
    marked = {block.line - 1 for block in every if block.mark}
    for number, line in enumerate(text.splitlines(), 1):
        if _ANY_MARK.fullmatch(line) and number not in marked:
            found.append(
                f"line {number}: a mark stands in the line before its block, and is written as `support.pages` says"
            )
    return found


def agrees(shown: str, said: str) -> bool:
    """Whether this is what was printed, where three dots stand for anything and white space does not count."""
    parts = ("".join(part.split()) for part in shown.split("..."))
    return re.fullmatch(".*".join(map(re.escape, parts)), "".join(said.split()), re.DOTALL) is not None


def run(page: Path, folder: Path) -> None:
    """Run what is to be run of a page, and compare what it shows.

    In a network of its own, so that the ports which the page names are free, and nothing that it starts outlives it.

    Raises:
        AssertionError: a command failed, or printed something else; with all that was printed.
    """
    checkout, said = folder / "checkout", folder / "said"
    said.mkdir()
    copy_checkout(checkout)
    (folder / ".curlrc").write_text(_CURL_OPTIONS)
    every = blocks(page.read_text())
    script = folder / "script"
    script.write_text("\n".join(_script(every, said)))
    done = subprocess.run(
        [ROOT / "bin" / "isolated", "bash", script], cwd=checkout, env=_environment(folder), timeout=_WITHIN,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    last = -1
    for number, block in enumerate(every):
        output = said / str(number)
        if output.exists():
            last = number
        if block.is_shown and (said / str(number - 1)).exists():
            printed = (said / str(number - 1)).read_text().replace("\r", "")
            assert agrees(block.text, printed), f"{page.name}:{block.line} shows\n{block.text}\nbut it was\n{printed}"
    printed = (said / str(last)).read_text() if last >= 0 else ""
    assert done.returncode == 0, (
        f"{page.name}:{every[last].line} ended with {done.returncode}:\n{every[last].text}\n"
        f"it printed\n{printed}\nand all of them, on standard error,\n{done.stdout}"
    )


def _script(every: list[Block], said: Path) -> Iterator[str]:
    yield "set -euo pipefail"
    for number, block in enumerate(every):
        if block.of_shell and block.is_run:
            # Braces, and no shell of its own: what one block sets, the next one uses.
            yield f"{{\n{block.text}\n}} > {said / str(number)}"


def copy_checkout(folder: Path) -> None:
    """What is in this checkout, changes included, beside links to what bin/deps has installed for it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".local").mkdir()
    # And none of the data that servers have kept from an earlier run.
    for name in (".venv", ".local/stamps", ".local/classpath"):
        (folder / name).symlink_to(ROOT / name)


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FANOUT_")}
    if shutil.which("go"):
        # These lie below the home of whoever runs the tests.
        names = ("GOCACHE", "GOMODCACHE")
        said = subprocess.run(["go", "env", *names], capture_output=True, text=True, check=True).stdout
        kept |= dict(zip(names, said.splitlines(), strict=True)) | {"GOTOOLCHAIN": "local"}
    return kept | {"HOME": str(folder), "PATH": f"{ROOT / '.venv' / 'bin'}:{kept['PATH']}"}
