"""Connections between workers that serve HTTPS: who is trusted, who is not, and what changes meanwhile."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fanout_app.cluster.frames import Confirm, Handed
from fanout_app.peers import mesh as module
from fanout_app.tls import TlsFiles
from support.certificates import Authority, Files
from support.eventually import eventually
from unit.peers.nodes import introduce, node


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CALL_AGAIN", 0.05)
    monkeypatch.setattr(module, "_LOOK_EVERY", 0.01)


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def files_of(cert: Files | None, peer_ca: str | None, client_ca: str | None = None) -> TlsFiles:
    given: Any = SimpleNamespace(
        tls_cert=cert and cert.cert, tls_key=cert and cert.key, client_ca=client_ca, peer_ca=peer_ca
    )
    files = TlsFiles(given)
    files.read()
    return files


async def test_workers_are_connected_by_https_and_show_each_other_their_certificates(ca: Authority) -> None:
    a_tls, b_tls = (files_of(ca.issue(name), ca.file, client_ca=ca.file) for name in "ab")
    async with node("a", tls=a_tls) as a, node("b", tls=b_tls) as b:
        assert b.address.startswith("https://")
        introduce(a, b)
        await eventually(lambda: a.names() == ["b"] and b.names() == ["a"])
        large = Handed(9, 1, (("h", "v"),), b"x" * (20 << 20), 1.0)
        a.peers[0].send(large)
        b.peers[0].send(Confirm(1))
        await eventually(lambda: b.heard == [("a", large)] and a.heard == [("b", Confirm(1))])


UNFIT = {"another name": ("elsewhere",)}
DAYS = {"expired": -1}


@pytest.mark.parametrize("case", ["another CA", "another name", "expired", "no certificate of the client CA"])
async def test_one_that_is_not_to_be_trusted_is_not_connected_and_told_of_once(
    case: str, ca: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Authority(tmp_path / "other")
    theirs = other.issue("b") if case == "another CA" else ca.issue("b", *UNFIT.get(case, ()), days=DAYS.get(case, 30))
    client_ca = other.file if case == "no certificate of the client CA" else None
    b_tls = files_of(theirs, ca.file, client_ca)
    caplog.clear()
    async with node("a", tls=files_of(ca.issue("a"), ca.file)) as a, node("b", tls=b_tls) as b:
        calls = 0
        call = a.handshake.call

        def counted(to: str) -> tuple[str, str]:
            nonlocal calls
            calls += 1
            return call(to)

        a.handshake.call = counted  # type: ignore[method-assign]
        introduce(a, b)
        await eventually(lambda: calls > 3)
        assert (a.peers, b.peers) == ([], [])
        warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        if client_ca is None:
            (warning,) = warnings
            assert "worker b is not connected to, its certificate is not to be trusted" in warning
            assert b.address in warning

        if case in ("another name", "expired"):
            ca.issue("b")
            b_tls.look()  # it goes on with a good one, without a restart
            await eventually(lambda: a.names() == ["b"])


async def test_who_serves_http_and_who_serves_https_are_connected_while_a_cluster_changes_over(ca: Authority) -> None:
    async with node("a", tls=files_of(None, ca.file)) as a, node("b", tls=files_of(ca.issue("b"), ca.file)) as b:
        introduce(a, b)
        await eventually(lambda: a.names() == ["b"] and b.names() == ["a"])
    async with node("a", tls=files_of(ca.issue("a"), ca.file)) as a, node("b") as b:
        introduce(a, b)
        await eventually(lambda: a.names() == ["b"] and b.names() == ["a"])
