"""Whom ZooKeeper knows this worker as, and who may touch what it makes there.

A login is never refused: a wrong password makes somebody else of us, who may not touch what is not his.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kazoo.security import CREATOR_ALL_ACL

from fanout_app.secret_file import secret_in
from fanout_app.security_options import SecurityOptions


@dataclass(frozen=True, slots=True)
class Login:
    """A user and his password, or nobody. Its text does not show the password."""

    user: str | None = None
    password: str = field(default="", repr=False)

    @classmethod
    def of(cls, options: SecurityOptions) -> Login:
        """Raises OptionError if the file of the password cannot be used."""
        if options.zookeeper_user is None or options.zookeeper_password_file is None:
            return cls()
        return cls(options.zookeeper_user, secret_in(options.zookeeper_password_file, "--zookeeper-password-file"))

    @property
    def client(self) -> dict[str, Any]:
        """For a client of kazoo."""
        if self.user is None:
            return {}
        return {"auth_data": [("digest", f"{self.user}:{self.password}")], "default_acl": CREATOR_ALL_ACL}

    def __str__(self) -> str:
        return "this worker" if self.user is None else f"--zookeeper-user {self.user} with his password"


NOBODY = Login()
