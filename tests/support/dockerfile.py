"""What a Dockerfile says, as far as ours goes: stages, and the words of each instruction."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

_FLAG = re.compile(r"--([a-z-]+)=(\S+)\s+")
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction, ``--flags`` apart."""

    word: str
    flags: Mapping[str, str]
    text: str

    @property
    def words(self) -> list[str]:
        """The arguments of COPY, or those of the exec form."""
        text = self.text.removeprefix("CMD ")
        return [str(word) for word in json.loads(text)] if text.startswith("[") else text.split()

    def variables(self, known: Mapping[str, str]) -> dict[str, str]:
        """Those that ENV sets, where these are known."""
        pairs = (word.split("=", 1) for word in shlex.split(self.text))
        return {name: _VARIABLE.sub(lambda match: known.get(match[1], ""), value) for name, value in pairs}


@dataclass(slots=True)
class Stage:
    """What lies between one FROM and the next."""

    base: str
    name: str
    steps: list[Step] = field(default_factory=list)

    def all(self, word: str) -> list[Step]:
        return [step for step in self.steps if step.word == word]

    def one(self, word: str) -> Step:
        (step,) = self.all(word)
        return step


def stages(text: str) -> list[Stage]:
    """All of them, in order."""
    found: list[Stage] = []
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in filter(None, (line.strip() for line in lines.replace("\\\n", " ").splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(base, name))
            continue
        flags = {}
        while flag := _FLAG.match(rest):
            flags[flag[1]] = flag[2]
            rest = rest[flag.end() :]
        found[-1].steps.append(Step(word, flags, rest))
    return found
