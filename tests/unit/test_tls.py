"""Certificates as they are read: what is refused, what is warned of, and that a renewed one is used."""

from __future__ import annotations

import logging
import ssl
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fanout_app import tls as module
from fanout_app.commands.examination import certificates
from fanout_app.commands.finding import Level
from fanout_app.core.errors import OptionError
from fanout_app.tls import TlsFiles
from support.certificates import Authority, Files

DAY = 86400.0


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def files_of(cert: Files | None = None, **more: str) -> TlsFiles:
    given: Any = SimpleNamespace(
        tls_cert=cert and cert.cert, tls_key=cert and cert.key, **{"client_ca": None, "peer_ca": None, **more}
    )
    found = TlsFiles.of(given)
    assert found is not None
    return found


def shown(files: TlsFiles, trust: ssl.SSLContext, host: str = "localhost") -> dict[str, object]:
    """The certificate that a client sees. Raises ssl.SSLError."""
    assert files.in_use.server is not None
    return module._shake_hands(files.in_use.server, trust, host)


def test_what_is_read_is_what_a_client_sees(ca: Authority) -> None:
    files = files_of(ca.issue("one", "localhost", days=30), peer_ca=ca.file)
    files.read()
    seen = shown(files, ca.trusted())
    assert seen["subjectAltName"] == (("DNS", "localhost"),)
    assert files.in_use.ends == ssl.cert_time_to_seconds(str(seen["notAfter"]))
    assert files.in_use.ends - time.time() == pytest.approx(30 * DAY, abs=60)
    assert files.trouble() == []


def test_nothing_is_read_where_nothing_is_given() -> None:
    given: Any = SimpleNamespace(tls_cert=None, tls_key=None, client_ca=None, peer_ca=None)
    assert TlsFiles.of(given) is None


def test_without_a_certificate_others_are_trusted_by_their_ca(ca: Authority, tmp_path: Path) -> None:
    files = files_of(peer_ca=ca.file)
    assert files.read().server is None
    there, elsewhere = files_of(ca.issue("one")), files_of(Authority(tmp_path / "other").issue("two"))
    there.read(), elsewhere.read()
    shown(there, files.in_use.peer)
    with pytest.raises(ssl.SSLCertVerificationError):
        shown(elsewhere, files.in_use.peer)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"[Hh]ostname"):
        shown(there, files.in_use.peer, "elsewhere")


def test_older_versions_of_tls_are_not_spoken(ca: Authority) -> None:
    files = files_of(ca.issue("one"))
    files.read()
    trust = ca.trusted()
    trust.set_ciphers("ALL:@SECLEVEL=0")
    trust.minimum_version = ssl.TLSVersion.TLSv1_2
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    shown(files, trust)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        trust.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        trust.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        shown(files, trust)


def test_whoever_shows_no_certificate_of_the_client_ca_is_refused(ca: Authority, tmp_path: Path) -> None:
    others = Authority(tmp_path / "others")
    files = files_of(ca.issue("one"), client_ca=others.file)
    files.read()
    shown(files, ca.trusted(others.issue("ann")))
    with pytest.raises(ssl.SSLError, match=r"(?i)peer did not return a certificate"):
        shown(files, ca.trusted())
    for refused in (ca.issue("of another ca"), others.issue("expired", days=-1)):
        with pytest.raises(ssl.SSLCertVerificationError):
            shown(files, ca.trusted(refused))


# What cannot be used -------------------------------------------------------------------------------------------------


def test_what_is_no_certificate_is_refused_by_its_option(ca: Authority, tmp_path: Path) -> None:
    one, two = ca.issue("one"), ca.issue("two")
    empty = tmp_path / "empty"
    empty.touch()
    for files, why in (
        (files_of(Files(str(tmp_path / "none"), one.key)), r"--tls-cert \S*none cannot be read \(No such file"),
        (files_of(Files(one.cert, str(tmp_path / "none"))), r"--tls-key \S*none cannot be read"),
        (files_of(Files(one.cert, two.key)), r"--tls-cert \S*one.pem .* \(key values mismatch\): give a certificate"),
        (files_of(Files(str(empty), one.key)), r"--tls-cert \S*empty "),
        (files_of(one, client_ca=str(empty)), r"--client-ca \S*empty cannot be used"),
        (files_of(one, peer_ca=one.key), r"--peer-ca \S*one.key cannot be used"),
    ):
        with pytest.raises(OptionError, match=why):
            files.read()


def test_nobody_is_asked_for_the_password_of_a_key(ca: Authority, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as form

    one = ca.issue("one")
    key = form.load_pem_private_key(Path(one.key).read_bytes(), None)
    secret = form.BestAvailableEncryption(b"a password")
    Path(one.key).write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, secret))
    with pytest.raises(OptionError, match="the key not encrypted"):
        files_of(one).read()


# Time ----------------------------------------------------------------------------------------------------------------


def test_a_certificate_that_has_expired_is_served_warned_of_and_a_trouble(
    ca: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    files = files_of(ca.issue("one", days=-1))
    files.read()
    files.look()
    (warning,) = [record.getMessage() for record in caplog.records]
    assert "one.pem has expired: nobody who looks at it connects: write its successor" in warning
    assert files.trouble() == [warning.partition(": write")[0]]
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shown(files, ca.trusted())


def test_one_that_is_about_to_end_is_warned_of_once_and_once_more_when_it_has(
    ca: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    files = files_of(ca.issue("one", days=30))
    files.read()
    now = time.time()
    files.look(now + 22 * DAY)
    assert caplog.records == []
    for after in (24 * DAY, 25 * DAY, 31 * DAY, 32 * DAY):
        files.look(now + after)
    soon, over = [record.getMessage() for record in caplog.records]
    assert "one.pem ends in 6.0 days: write its successor to that file" in soon
    assert "one.pem has expired" in over
    assert files.trouble(now + 29 * DAY) == []
    assert len(files.trouble(now + 31 * DAY)) == 1


def test_a_renewed_certificate_is_used_from_the_next_look_on(ca: Authority, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fanout")
    files = files_of(ca.issue("one", days=-1))
    before = files.read()
    assert files.changed() is None
    ca.issue("one", days=60)
    files.look()
    assert files.in_use is not before
    assert files.trouble() == []
    shown(files, ca.trusted())
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_half_a_renewal_changes_nothing_until_the_other_half_is_there(
    ca: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    files = files_of(ca.issue("one", "localhost"))
    before = files.read()
    key = Path(files._paths()["--tls-key"])
    old = key.read_bytes()
    ca.issue("one", "localhost", "renewed")
    new = key.read_bytes()
    key.write_bytes(old)
    files.look()
    files.look()
    assert files.in_use is before
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "key values mismatch" in caplog.text
    key.write_bytes(new)
    files.look()
    assert shown(files, ca.trusted())["subjectAltName"] == (("DNS", "localhost"), ("DNS", "renewed"))


def test_other_workers_that_will_not_connect_are_warned_of(
    ca: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = Authority(tmp_path / "other")
    good = files_of(ca.issue("one", "10.1.2.3"), peer_ca=ca.file, client_ca=ca.file)
    good.read()
    good.advertised("https://10.1.2.3:6066")
    assert caplog.records == []
    for files, address, why in (
        (files_of(ca.issue("one", "10.1.2.3"), peer_ca=ca.file), "https://[fd00::1]:6066", "IP address mismatch"),
        (files_of(ca.issue("one"), peer_ca=other.file), "https://localhost:6066", "issuer certificate"),
        (files_of(ca.issue("one"), peer_ca=ca.file, client_ca=other.file), "https://localhost:6066", ""),
    ):
        files.read()
        files.advertised(address)
        (record,) = caplog.records
        assert f"will not connect to this one at {address} (" in record.getMessage()
        assert why in record.getMessage()
        caplog.clear()


def test_doctor_says_how_it_is(ca: Authority) -> None:
    good, soon, late = ca.issue("good"), ca.issue("soon", days=3), ca.issue("late", days=-1)
    for cert, level, text in (
        (good, Level.GOOD, "good with its key, until 20"),
        (soon, Level.LOOK, "until 20"),
        (late, Level.WRONG, "late.pem has expired"),
        (Files(good.cert, late.key), Level.WRONG, "mismatch"),
    ):
        found = certificates(files_of(cert))
        assert (found.level, text in found.text) == (level, True), found
    assert certificates(files_of(peer_ca=ca.file)).level is Level.GOOD
