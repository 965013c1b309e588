"""Compiles the modules on the way of a message, for wheels: the same Python, at a fraction of its cost.

``pip install .`` and ``pip wheel .`` compile; where nothing can be compiled, or with ``FANOUT_COMPILE=0``, the package
is the plain Python that a checkout runs. ``FANOUT_COMPILE=1`` fails instead. An editable install never compiles: beside
a source file lies no compiled one that is older than it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.errors import CCompilerError, PlatformError

#: Of the core, all but these. A compiled class knows the types of its fields as no more than ``type``, so msgspec could
#: decode nothing into it; and no default of a field of the canary's is a literal that msgspec takes.
_INTERPRETED = {"__init__.py", "canary.py", "windows.py"}
_DECODED = "_row.py"
#: What else is on the way of every pull and settle; not what a plain class inherits from, which may be no compiled one.
_ON_THE_WAY = [
    "alarm",
    "cluster/asking",
    "cluster/settling",
    "dead_lettering",
    "group_commit",
    "names",
    "numbers",
    "pulls",
    "settles",
    "waking",
    "web/answers",
    "web/errands",
    "web/known",
    "web/rendering",
    "web/tokens",
    "web/translation",
    "web/views_messages",
]


def _modules() -> list[str]:
    package = Path("fanout_app")
    plain = [*package.glob(f"core/*{_DECODED}"), *(package / "core" / name for name in _INTERPRETED)]
    core = sorted(set(package.glob("core/*.py")) - set(plain))
    return [str(path) for path in (*core, *(package / f"{name}.py" for name in _ON_THE_WAY))]


def _is_for_a_wheel() -> bool:
    """Setuptools runs this for metadata and for editable installs as well."""
    return "bdist_wheel" in sys.argv


def _why_nothing_can_be_compiled() -> str | None:
    """Tried, since a compiler without Python's headers is of no use, and both may be anywhere."""
    from distutils.ccompiler import new_compiler
    from distutils.sysconfig import customize_compiler, get_python_inc

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("#include <Python.h>\n")
        compiler = new_compiler()
        customize_compiler(compiler)
        try:
            compiler.compile([str(source)], output_dir=folder, include_dirs=[get_python_inc()])
        except (CCompilerError, PlatformError, OSError) as error:
            return " ".join(str(error).split())
    return None


def _compiled() -> list[Extension]:
    from mypyc.build import mypycify

    # What is wrong in the modules beside them bin/check says.
    flags = ["--config-file", "pyproject.toml", "--follow-imports=silent"]
    extensions: list[Extension] = mypycify([*flags, *_modules()], opt_level="3", group_name="fanout_app")
    if os.name != "nt":
        # Python's own flags have the compiler look for what is odd, in C that nobody reads: two fifths of its time.
        for extension in extensions:
            extension.extra_compile_args += ["-Wno-all", "-Wno-sign-compare"]
    return extensions


def _extensions() -> list[Extension]:
    wanted = os.environ.get("FANOUT_COMPILE", "")
    if wanted == "0" or not _is_for_a_wheel():
        return []
    why_not = _why_nothing_can_be_compiled()
    if why_not is None:
        return _compiled()
    if wanted == "1":
        sys.exit(f"fanout: FANOUT_COMPILE=1, but nothing can be compiled here: {why_not}")
    print(f"fanout: built without compiled modules, at about twice the cost a message: {why_not}", file=sys.stderr)
    return []


setup(ext_modules=_extensions())
