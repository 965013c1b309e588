"""Whom ZooKeeper knows this worker as."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.security import CREATOR_ALL_ACL

import fanout_app
from fanout_app.core.errors import OptionError
from fanout_app.zookeeper.login import NOBODY, Login

PASSWORD = "a password that is not to be seen"


def options(user: str | None, path: Path | None) -> Any:
    return SimpleNamespace(zookeeper_user=user, zookeeper_password_file=path and str(path), zookeeper_ca=None)


def test_what_is_made_is_for_its_maker_alone(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    login = Login.of(options("ann", path))
    client = KazooClient("nowhere:1", **login.client)
    assert client.auth_data == {("digest", f"ann:{PASSWORD}")}
    assert client.default_acl == CREATOR_ALL_ACL
    assert PASSWORD not in f"{login} {login!r}"


def test_without_a_user_it_is_for_everybody() -> None:
    assert Login.of(options(None, None)) == NOBODY
    client = KazooClient("nowhere:1", **NOBODY.client)
    assert (client.auth_data, client.default_acl) == (set(), None)


def test_a_password_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"--zookeeper-password-file .* cannot be read"):
        Login.of(options("ann", tmp_path / "none"))


def test_no_client_is_made_in_another_way() -> None:
    made = 0
    for path in Path(str(fanout_app.__file__)).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "KazooClient":
                spread = [ast.unparse(word.value) for word in node.keywords if word.arg is None]
                assert any(one in ("login.client", "Login.of(options).client") for one in spread), ast.unparse(node)
                made += 1
    assert made == 4
