"""The core does no I/O, and cannot: nothing it imports could."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import fanout_app.core

FORBIDDEN = ("aiohttp", "aiokafka", "asyncio", "faust", "kazoo", "mode", "selectors", "socket")


def test_importing_all_of_the_core_loads_nothing_that_does_io() -> None:
    modules = [module.name for module in pkgutil.iter_modules(fanout_app.core.__path__, "fanout_app.core.")]
    assert len(modules) > 10
    imports = "\n".join(f"import {name}" for name in modules)
    code = f"import sys\n{imports}\nsys.stdout.write(' '.join(set(sys.modules) & set({FORBIDDEN!r})))"
    loaded = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True).stdout
    assert loaded == ""
