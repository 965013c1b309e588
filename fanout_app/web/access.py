"""Who may ask for what: each route says whom it answers, and the gate knows who asks by the token of the request.

Rule for this file: nobody is let in, refused or told apart by anything but the digest of a whole token, and no token
goes anywhere from here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from enum import Enum
from hashlib import sha256
from typing import Final

from aiohttp import web
from aiohttp.hdrs import AUTHORIZATION, WWW_AUTHENTICATE

from fanout_app.identity import ANYONE, Identity, Role
from fanout_app.tokens_file import Known
from fanout_app.web.problems import Kind, Problem

#: Raises `Problem` unless the request is from somebody who may make it.
Admit = Callable[[web.Request], None]
#: Who asks, by the Authorization headers of a request. Raises `Problem` unless he may.
Identify = Callable[[Sequence[str]], Identity]

#: A hash does not tell how long its token is; one that could be guessed is good for nothing even if it is in the file.
SHORTEST_TOKEN: Final = 32
_IDENTITY: Final = web.RequestKey("identity", Identity)
_READS: Final = frozenset({"GET", "HEAD"})
_REALM: Final = 'Bearer realm="fanout"'


_log = logging.getLogger("fanout.web.access")


class Access(Enum):
    """Whom a route answers; the values are those of `docs/api.md`."""

    CONSUME = Role.CONSUME.value
    METRICS = Role.METRICS.value
    ADMIN = Role.ADMIN.value
    #: Whoever has a token at all: what nothing is served at.
    TOKEN = "any"
    #: Load balancers have no token.
    ANYONE = "none"
    #: Workers among themselves. The view itself asks for a proof made with the lease keys, see `Seal`.
    SEALED = "sealed"


class Gate:
    """Knows the tokens, and lets requests in or refuses them. Without tokens it lets in everybody."""

    def __init__(self, known: Known | None, on_refused: Callable[[int], None] = lambda status: None) -> None:
        """``on_refused`` is told the status of each refusal."""
        self._on_refused = on_refused
        self._open = known is None
        self._known: Known = known or {}

    def use(self, known: Known) -> None:
        """Go on with these tokens (the file has changed)."""
        self._known = known

    def admit(self, access: Access) -> Admit:
        """What a route of this access asks of each request."""
        if access in (Access.ANYONE, Access.SEALED):
            return _unasked
        identify = self.identify(access)

        def admit(request: web.Request) -> None:
            request[_IDENTITY] = identity = identify(request.headers.getall(AUTHORIZATION, ()))
            if access is Access.ADMIN and not self._open and request.method not in _READS:
                _log.info("%s is asked for by %s", _named(request), identity.name or "a token without a name")

        return admit

    def identify(self, access: Access) -> Identify:
        """The same by the Authorization headers alone, for routes that ask who it is."""
        if self._open:
            return _anyone
        role = None if access is Access.TOKEN else Role(access.value)

        def identify(given: Sequence[str]) -> Identity:
            try:
                identity = self._identify(given)
                if role is not None and not identity.may(role):
                    raise _forbidden(role, identity)
            except Problem as problem:
                self._on_refused(problem.kind.status)
                raise
            return identity

        return identify

    def _identify(self, given: Sequence[str]) -> Identity:
        if len(given) != 1:
            raise _unauthorized(
                "send a token: Authorization: Bearer TOKEN" if not given else "send one token, not more"
            )
        scheme, _, token = given[0].partition(" ")
        if scheme.lower() != "bearer":
            raise _unauthorized("tokens are sent as Authorization: Bearer TOKEN")
        token = token.strip()
        if len(token) < SHORTEST_TOKEN:
            raise _unauthorized(f"a token has at least {SHORTEST_TOKEN} characters: send a whole one, or make another")
        # How long a look-up takes tells of the digest at most, and a digest that is nearly right is no nearer to a
        # token: nothing is compared here that somebody could work towards.
        identity = self._known.get(sha256(token.encode(errors="surrogateescape")).digest())
        if identity is None:
            raise _unauthorized("this token is not, or no longer, in the --tokens-file of this worker", invalid=True)
        return identity


def identity_of(request: web.Request) -> Identity:
    """Who makes a request of a route that asks for a token; of others, KeyError."""
    return request[_IDENTITY]


def _named(request: web.Request) -> str:
    """The request by its route: what a client writes into a path is not for the log."""
    resource = request.match_info.route.resource
    return f"{request.method} {resource.canonical if resource is not None else ''}"


def _unasked(request: web.Request) -> None:
    """Who it is stays unknown."""


def _anyone(given: Sequence[str]) -> Identity:
    return ANYONE


def _unauthorized(detail: str, *, invalid: bool = False) -> Problem:
    challenge = f'{_REALM}, error="invalid_token"' if invalid else _REALM
    return Problem(Kind.UNAUTHORIZED, detail, headers={WWW_AUTHENTICATE: challenge})


def _forbidden(role: Role, identity: Identity) -> Problem:
    has = ", ".join(sorted(identity.roles))
    challenge = f'{_REALM}, error="insufficient_scope", scope="{role}"'
    return Problem(
        Kind.FORBIDDEN,
        f"this takes a token of role {role}, and this one's is {has}",
        headers={WWW_AUTHENTICATE: challenge},
    )
