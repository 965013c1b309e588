"""The wheel that bin/wheel has built: all of the package, compiled, and what a worker of it says that it is."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from fanout_app.core import dispatcher

_ROOT = Path(__file__).resolve().parents[2]
_SITE = _ROOT / ".local/wheel/site"
_PACKAGES = ("fanout_app", "agents", "tables")


@pytest.fixture(scope="module")
def names() -> set[str]:
    """Every file in the wheel."""
    (wheel,) = (_ROOT / ".local/wheel").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def _sources() -> set[str]:
    files = [path for package in _PACKAGES for path in (_ROOT / package).rglob("*")]
    code = [path for path in files if path.suffix in (".py", ".pyi") or path.name == "py.typed"]
    page = (_ROOT / "fanout_app/web/dashboard").iterdir()
    return {str(path.relative_to(_ROOT)) for path in (*code, *page)}


def test_it_has_every_source_and_none_that_is_gone(names: set[str]) -> None:
    packaged = {name for name in names if name.startswith(tuple(f"{package}/" for package in _PACKAGES))}
    assert {name for name in packaged if not name.endswith(".so")} == _sources()


def test_what_is_compiled_has_a_source_beside_it(names: set[str]) -> None:
    compiled = {name for name in names if name.endswith(".so")}
    (shared,) = (name for name in compiled if "/" not in name)
    assert shared.startswith("fanout_app__mypyc.")
    assert {f"{name.split('.')[0]}.py" for name in compiled - {shared}} <= _sources()
    assert any(name.startswith("fanout_app/core/dispatcher.") for name in compiled)


def test_a_checkout_has_no_compiled_module_beside_a_source() -> None:
    assert [path for package in _PACKAGES for path in (_ROOT / package).rglob("*.so")] == []


def test_these_tests_run_compiled() -> None:
    assert Path(dispatcher.__file__).is_relative_to(_SITE)
    assert Path(dispatcher.__file__).suffix == ".so"


@pytest.mark.parametrize(("build", "says"), [("wheel", "compiled"), ("source", "interpreted")])
def test_the_command_of_a_checkout_runs_either(build: str, says: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    said = subprocess.run(
        [_ROOT / "bin/fanout", "--version"],
        env={**environment, "FANOUT_BUILD": build},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.rstrip().endswith(f", {says}")
