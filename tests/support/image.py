"""An image without an engine: the steps of its Dockerfile one by one, each in the root directory of its stage.

In the place of the image that a stage begins with, a root has the system's programs and the Python that the tests run
with, none of which can be written to. Nothing of this checkout is seen there. As root, since only root may become
another user.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from support.dockerfile import Stage, stages

#: Official images of Python have it in /usr/local; systems keep theirs anywhere, so here it is an environment.
_BASE = "/base"
_PATH = f"{_BASE}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PYTHON = Path(sys.base_prefix)
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64")
#: Of /etc: what compilers, certificates and look-ups of names need, and where packages are to be had.
_SETTINGS = ("alternatives", "ssl", "ca-certificates", "ld.so.cache", "nsswitch.conf", "resolv.conf", "pip.conf")
#: Seconds for a step: packages come over the network, and mypyc takes ten minutes on a busy machine.
_STEP_WITHIN = 1500.0


@dataclass(frozen=True, slots=True)
class Image:
    """What came of the last stage, and what a container of it is started with."""

    root: str
    variables: Mapping[str, str]
    #: ``UID:GID``.
    user: str
    entrypoint: Sequence[str]
    healthcheck: Sequence[str]

    def container(self, variables: Mapping[str, str], *command: str, user: str = "") -> list[str]:
        """The command that runs this in it: as its user, without any right of root's, where nothing can be written."""
        uid, gid = (user or self.user).split(":")
        reduced = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs",
                   "--bounding-set=-all", "--inh-caps=-all"]  # fmt: skip
        return _within(Path(self.root), [*reduced, *_with({**self.variables, **variables}), *command], read_only=True)

    def put(self, path: str, text: str, *, mode: int = 0o644, group: int = 0) -> None:
        """A file that is there when a container starts."""
        file = _in(Path(self.root), path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)
        os.chown(file, 0, group)


def build(context: Path, dockerfile: Path, folder: Path) -> Image:
    """Take all steps. Raises AssertionError with what a step printed that failed."""
    assert os.geteuid() == 0, "roots are entered, and users changed, by root alone: run this as root"
    sent = {line[1:] for line in (context / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    roots: dict[str, Path] = {}
    for number, stage in enumerate(stages(dockerfile.read_text())):
        roots[stage.name] = _new_root(folder / str(number))
        variables = _take(stage, roots, context, sent)
    return Image(
        root=str(roots[stage.name]),
        variables=variables,
        user=stage.one("USER").text,
        entrypoint=stage.one("ENTRYPOINT").words,
        healthcheck=stage.one("HEALTHCHECK").words,
    )


def _take(stage: Stage, roots: Mapping[str, Path], context: Path, sent: set[str]) -> dict[str, str]:
    """All steps of a stage in its root. Answers the variables that it leaves set."""
    root, folder, variables = roots[stage.name], "/", {"PATH": _PATH, "LANG": "C.UTF-8"}
    for step in stage.steps:
        if step.word == "WORKDIR":
            folder = step.text
            _in(root, folder).mkdir(parents=True)
        elif step.word == "ENV":
            variables |= step.variables(variables)
        elif step.word == "COPY":
            *sources, target = step.words
            if (of := step.flags.get("from")) is None:
                assert set(sources) <= sent, f"COPY {step.text}: .dockerignore keeps some of them back"
            there = context if of is None else roots[of]
            _copy(
                [_in(there, source) for source in sources], _in(root, f"{folder}/{target}"), into=target.endswith("/")
            )
        elif step.word == "RUN":
            _run(_within(root, [*_with({**_registry(), **variables}), "sh", "-c", f"cd {folder} && {step.text}"]))
    return variables


def _copy(sources: list[Path], target: Path, *, into: bool) -> None:
    """As COPY does it: of a folder what is in it."""
    for source in sources:
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        else:
            file = target / source.name if into else target
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, file)


def _new_root(root: Path) -> Path:
    for name in ("proc", "dev", "tmp", "etc", "run", str(_PYTHON)):
        _in(root, name).mkdir(parents=True, exist_ok=True)
    for path in map(Path, _SYSTEM):
        if path.is_symlink():
            _in(root, str(path)).symlink_to(path.readlink())
        elif path.exists():
            _in(root, str(path)).mkdir(exist_ok=True)
    for path in (Path("/etc", name) for name in _SETTINGS):
        if path.is_dir():
            shutil.copytree(path, _in(root, str(path)), symlinks=True)
        elif path.exists():
            shutil.copy2(path, _in(root, str(path)))
    _run(_within(root, [*_with({"PATH": _PATH}), os.path.realpath(sys.executable), "-m", "venv", _BASE]))
    return root


def _in(root: Path, path: str) -> Path:
    return root / path.strip("/")


def _with(variables: Mapping[str, str]) -> list[str]:
    return ["env", "-i", *(f"{name}={value}" for name, value in variables.items())]


def _registry() -> dict[str, str]:
    """How packages are to be had here; but from the registry alone, as elsewhere."""
    return {name: value for name, value in os.environ.items()
            if (name.startswith("PIP_") and name != "PIP_FIND_LINKS") or name.lower().endswith("_proxy")}  # fmt: skip


def _within(root: Path, command: Sequence[str], *, read_only: bool = False) -> list[str]:
    """This command, in this root. Its process is the one that is started: a signal reaches it."""
    bound = [path for path in _SYSTEM if not Path(path).is_symlink() and Path(path).exists()]
    if not _PYTHON.is_relative_to("/usr"):
        bound.append(str(_PYTHON))
    here = shlex.quote(str(root))
    lines = [f"mount --bind {here} {here}"]
    for path in bound:
        lines += [f"mount --bind {path} {here}{path}", f"mount -o remount,bind,ro {here}{path}"]
    lines += [f"mount --rbind /dev {here}/dev", f"mount -t proc proc {here}/proc"]
    if read_only:
        lines.append(f"mount -o remount,bind,ro {here}")
    lines.append(f'cd {here} && exec chroot . "$@"')
    return ["unshare", "--mount", "sh", "-ec", "\n".join(lines), "sh", *command]


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=_STEP_WITHIN, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{shlex.join(command[6:])} ended with {done.returncode}:\n{done.stdout}"
