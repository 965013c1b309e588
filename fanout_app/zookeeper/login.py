"""How ZooKeeper is connected to, whom it knows this worker as, and who may touch what it makes there.

A login is never refused: a wrong password makes somebody else of us, who may not touch what is not his.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Any

from kazoo.client import KazooClient
from kazoo.security import CREATOR_ALL_ACL

from fanout_app.secret_file import secret_in
from fanout_app.security_options import SecurityOptions
from fanout_app.tls import trusting, with_certificate
from fanout_app.zookeeper.tls_handler import TlsHandler


@dataclass(frozen=True, slots=True)
class Login:
    """A user and his password, or nobody; with TLS or without. Its text does not show the password."""

    user: str | None = None
    password: str = field(default="", repr=False)
    #: For TLS; none: without.
    context: ssl.SSLContext | None = field(default=None, repr=False)

    @classmethod
    def of(cls, options: SecurityOptions) -> Login:
        """Raises OptionError if a file that is named cannot be used."""
        context = None
        if options.zookeeper_ca is not None:
            context = trusting(options.zookeeper_ca, "--zookeeper-ca")
            if options.zookeeper_cert is not None:
                with_certificate(context, options.zookeeper_cert, options.zookeeper_key, "--zookeeper-cert")
        if options.zookeeper_user is None or options.zookeeper_password_file is None:
            return cls(context=context)
        password = secret_in(options.zookeeper_password_file, "--zookeeper-password-file")
        return cls(options.zookeeper_user, password, context)

    @property
    def client(self) -> dict[str, Any]:
        """For one client of kazoo."""
        by_tls = {} if self.context is None else {"handler": TlsHandler(self.context)}
        if self.user is None:
            return by_tls
        return {**by_tls, "auth_data": [("digest", f"{self.user}:{self.password}")], "default_acl": CREATOR_ALL_ACL}

    def __str__(self) -> str:
        return "this worker" if self.user is None else f"--zookeeper-user {self.user} with his password"


def refused(client: KazooClient) -> str:
    """Why the certificate of a server, or ours, was not taken by the last try of a client; empty: that was not it."""
    return client.handler.refused if isinstance(client.handler, TlsHandler) else ""


NOBODY = Login()
