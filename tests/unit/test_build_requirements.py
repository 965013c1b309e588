"""What compiles is what was tested: the packages of a build are those of constraints.txt."""

from __future__ import annotations

import tomllib

from support.stack import ROOT


def test_a_build_needs_the_versions_that_are_installed_here() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    exact = [package for package in wanted if "==" in package]
    assert len(exact) == len(wanted) - 1, "of setuptools any that is new enough does"
    assert set(exact) <= set(pinned)
