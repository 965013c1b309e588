"""Certificates: what a worker serves and connects to others with, read from files and again when they change.

OpenSSL judges a certificate only where one is shown to it. So whether ours is good is found out by showing it: two ends
shake hands in memory, and what the far one says is what a client or another worker will say.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fanout_app.core.errors import OptionError
from fanout_app.security_options import SecurityOptions
from fanout_app.watched_file import WatchedFile

logger = logging.getLogger("fanout.tls")

_DAY: Final = 86400.0
#: Seconds before its end from which on a certificate is warned of.
SOON: Final = 7 * _DAY
#: X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL.
_EXPIRED: Final = 10
_ROUNDS: Final = 20


@dataclass(frozen=True, slots=True)
class Tls:
    """What is in the files. Equal to another one if all of them hold the same."""

    digest: bytes
    #: To serve with; None where there is no certificate.
    server: ssl.SSLContext | None = field(compare=False)
    #: To connect to other workers with.
    peer: ssl.SSLContext = field(compare=False)
    #: When our certificate ends, in Unix seconds: 0 where it has ended, infinite where there is none.
    ends: float = field(compare=False)


class TlsFiles(WatchedFile[Tls]):
    """The certificate, its key, and whom it trusts. They are used together, so they change together."""

    OPTION = "--tls-cert"
    HOLDS = "certificates"
    REMEDY = "give a file in PEM"

    def __init__(self, options: SecurityOptions) -> None:
        super().__init__(options.tls_cert or options.peer_ca or "")
        self._cert = options.tls_cert
        self._key = options.tls_key
        self._client_ca = options.client_ca
        self._peer_ca = options.peer_ca
        self._read_before = False
        #: Whether it was warned of the certificate as one that has ended, or (False) as one that ends soon; None: of
        #: neither.
        self._warned: bool | None = None

    @property
    def _named(self) -> str:
        return f"--tls-cert {self._cert}" if self._cert is not None else f"--peer-ca {self._peer_ca}"

    @classmethod
    def of(cls, options: SecurityOptions) -> TlsFiles | None:
        """Those that are given, if any is."""
        return cls(options) if options.tls_cert is not None or options.peer_ca is not None else None

    def read(self) -> Tls:
        """As of every file, and a warning where the certificate has expired, or is about to."""
        read = super().read()
        self._warn()
        return read

    def look(self, now: float | None = None) -> None:
        """Use what the files hold now, if that can be used; to be called again and again, from any one thread."""
        if self.changed() is not None:
            self._warned = None
        self._warn(now)

    def trouble(self, now: float | None = None) -> list[str]:
        """What is wrong with the certificate at this time (Unix seconds, now by default), in no or one reason."""
        if self._left(now) <= 0:
            return [f"the certificate of --tls-cert {self._cert} has expired: nobody who looks at it connects"]
        return []

    def advertised(self, address: str) -> None:
        """Warn where the other workers, which reach this one at this address, will not connect to it."""
        host = urlsplit(address).hostname or ""
        if self.in_use.server is None or self.trouble():
            return
        try:
            _shake_hands(self.in_use.server, self.in_use.peer, host)
        except ssl.SSLError as error:
            logger.warning(
                "other workers with these options will not connect to this one at %s (%s): see that --peer-ca has "
                "signed its certificate, which has to name %s, and --client-ca too",
                address, said(error), host,
            )  # fmt: skip

    def _left(self, now: float | None = None) -> float:
        return self.in_use.ends - (time.time() if now is None else now)

    def _warn(self, now: float | None = None) -> None:
        left = self._left(now)
        if left > SOON or self._warned == (left <= 0):
            return
        self._warned = left <= 0
        what = self.trouble(now)[0] if left <= 0 else f"the certificate of {self._named} ends in {left / _DAY:.1f} days"
        logger.warning("%s: write its successor to that file, which is read again", what)

    def _read(self) -> Tls:
        digest = sha256()
        for option, path in self._paths().items():
            try:
                content = Path(path).read_bytes()
            except OSError as error:
                raise OptionError(f"{option} {path} cannot be read ({error.strerror}): {self.REMEDY}") from error
            digest.update(sha256(content).digest())
        # A file that changes from here on has another digest with the next look.
        if self._read_before and digest.digest() == self.in_use.digest:
            return self.in_use
        return self._parsed(digest.digest())

    def _paths(self) -> dict[str, str]:
        given = {
            "--tls-cert": self._cert,
            "--tls-key": self._key,
            "--client-ca": self._client_ca,
            "--peer-ca": self._peer_ca,
        }
        return {option: path for option, path in given.items() if path is not None}

    def _parsed(self, content: bytes) -> Tls:
        server, ends = None, float("inf")
        peer = trusting(self._peer_ca, "--peer-ca")
        if self._cert is not None:
            server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.minimum_version = ssl.TLSVersion.TLSv1_2
            # A client could have us compute for it again and again on one connection.
            server.options |= ssl.OP_NO_RENEGOTIATION
            server.set_alpn_protocols(["http/1.1"])
            with_certificate(server, self._cert, self._key, "--tls-cert")
            with_certificate(peer, self._cert, self._key, "--tls-cert")
            ends = _end_of(self._cert, self._key)
            if self._client_ca is not None:
                _trust(server, self._client_ca, "--client-ca")
                server.verify_mode = ssl.CERT_REQUIRED
        made = Tls(content, server, peer, ends)
        self._read_before = True
        return made

    def _compared(self, before: Tls, now: Tls) -> str:
        if self._cert is None:
            return "other CAs count for other workers"
        end = time.strftime("%Y-%m-%d", time.gmtime(now.ends)) if now.ends else "a time that is over"
        return f"new connections are made with what is in it, up to {end}"


def trusting(ca: str | None, option: str) -> ssl.SSLContext:
    """To connect to whom these CAs vouch for, or those of the system, at the name that he was asked by.

    Raises:
        OptionError: the file of ``option`` cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _trust(context, ca, option)
    return context


def with_certificate(context: ssl.SSLContext, cert: str, key: str | None, option: str) -> None:
    """Show this certificate to whoever asks for one.

    Raises:
        OptionError: the files cannot be used, or do not belong together.
    """
    try:
        # OpenSSL would ask at the terminal for the password of an encrypted key.
        context.load_cert_chain(cert, key, password=_no_password)
    except OSError as error:
        raise OptionError(
            f"{option} {cert} with its key {key} cannot be used ({said(error)}): give a certificate and the key that "
            "belongs to it, both PEM, the key not encrypted"
        ) from error


def said(error: OSError) -> str:
    """What OpenSSL objects to, in its words."""
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_message:
        return str(error.verify_message).rstrip(".")
    if reason := getattr(error, "reason", None):
        return str(reason).replace("_", " ").lower()
    return " ".join(str(error.strerror or error).split())


def _trust(context: ssl.SSLContext, ca: str, option: str) -> None:
    try:
        context.load_verify_locations(cafile=ca)
    except OSError as error:
        raise OptionError(
            f"{option} {ca} cannot be used ({said(error)}): give the certificates of CAs, in PEM"
        ) from error


def _no_password() -> str:
    return ""


def _end_of(cert: str, key: str | None) -> float:
    """When a certificate ends, in Unix seconds, 0 if it has. Raises OptionError if it is no server's at all."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with_certificate(server, cert, key, "--tls-cert")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    # Itself is trusted, whoever has signed it: what is looked for is what is wrong with it alone.
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    _trust(client, cert, "--tls-cert")
    try:
        shown = _shake_hands(server, client, "")
    except ssl.SSLCertVerificationError as error:
        if error.verify_code == _EXPIRED:
            return 0.0
        raise OptionError(
            f"--tls-cert {cert} is no certificate to serve with ({said(error)}): have one issued for servers"
        ) from error
    ends = shown.get("notAfter")
    return float(ssl.cert_time_to_seconds(ends)) if isinstance(ends, str) else float("inf")


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> dict[str, object]:
    """The server's certificate as the client sees it. Raises ssl.SSLError where one of them refuses the other."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(back, there, server_hostname=host or None)
    asked = server.wrap_bio(there, back, server_side=True)
    under_way: list[Callable[[], None]] = [asking.do_handshake, asked.do_handshake]
    for _ in range(_ROUNDS):
        for step in list(under_way):
            try:
                step()
            except ssl.SSLWantReadError:
                continue
            under_way.remove(step)
        if not under_way:
            break
    return dict(asking.getpeercert() or {})
