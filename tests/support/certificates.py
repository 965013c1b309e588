"""Certificates of a test, made while it runs."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography.hazmat.primitives import serialization as form

HERE = ("localhost", "127.0.0.1")


class Files(NamedTuple):
    """Where a certificate and its key are."""

    cert: str
    key: str


class Authority:
    """A CA, and what it has signed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._ca = trustme.CA()
        self.file = str(folder / "ca.pem")
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, name: str, *hosts: str, days: float = 30.0) -> Files:
        """A certificate for these hosts, by default for this machine, that ends in so many days; over what had the name
        before. Servers and clients may show it."""
        made = self._ca.issue_cert(*(hosts or HERE), not_after=datetime.now(UTC) + timedelta(days=days))
        files = Files(str(self._folder / f"{name}.pem"), str(self._folder / f"{name}.key"))
        Path(files.cert).write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        key = form.load_pem_private_key(made.private_key_pem.bytes(), None)
        # Java reads keys of this form alone.
        Path(files.key).write_bytes(key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption()))
        return files

    def keystore(self, name: str) -> str:
        """The same in one file, as brokers of Kafka want it."""
        files, path = self.issue(name), self._folder / f"{name}.keystore.pem"
        path.write_bytes(Path(files.key).read_bytes() + Path(files.cert).read_bytes())
        return str(path)

    def trusted(self, shown: Files | None = None) -> ssl.SSLContext:
        """For a client that trusts this CA, and shows a certificate if it has one."""
        context = ssl.create_default_context(cafile=self.file)
        if shown is not None:
            context.load_cert_chain(shown.cert, shown.key)
        return context
