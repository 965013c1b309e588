"""Jars through Maven, as bin/deps gets those of the stack."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.system import CACHE, ROOT, CannotRun

#: Also Maven's own version of the plugin would do; this one is named so that two machines use the same.
CLASS_PATH = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath"


async def class_path(folder: str, *goals: str, options: Sequence[str] = (), sources: Sequence[Path] = ()) -> str:
    """The jars that the pom of a folder of benchmarks/peers names, after Maven has reached `goals`.

    Kept in CACHE, and written anew when the pom or one of `sources` is younger. Raises CannotRun for want of Maven or
    a JDK, or with what Maven said.
    """
    for tool, package in (("javac", "openjdk-17-jdk-headless"), ("mvn", "maven")):
        if shutil.which(tool) is None:
            raise CannotRun(f"no {tool} found: apt-get install {package}")
    return await asyncio.to_thread(_class_path, ROOT / "benchmarks/peers" / folder / "pom.xml", goals, options, sources)


def _class_path(pom: Path, goals: Sequence[str], options: Sequence[str], sources: Sequence[Path]) -> str:
    written = output_folder(pom.parent.name) / "classpath.txt"
    if not written.exists() or written.stat().st_mtime < max(path.stat().st_mtime for path in (pom, *sources)):
        written.parent.mkdir(parents=True, exist_ok=True)
        command = ["mvn", "--batch-mode", "--quiet", "--file", str(pom), *options, *goals, CLASS_PATH]
        done = subprocess.run([*command, f"-Dmdep.outputFile={written}"], capture_output=True, text=True)
        if done.returncode:
            raise CannotRun(f"Maven could not do {pom.parent.name}: {done.stdout[-800:]}")
        # Also where Maven found nothing new to write.
        written.touch()
    return written.read_text().strip()


def output_folder(folder: str) -> Path:
    """Where Maven writes to for that folder."""
    return CACHE / "maven" / folder
