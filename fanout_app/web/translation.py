"""From what a request says to the values the core takes, and names made up for those who gave none."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, TypeVar

from msgspec import UnsetType

from fanout_app import names
from fanout_app.core.requests import Entry, Pull, Ref, Settle
from fanout_app.identity import ANYONE, Identity
from fanout_app.web.problems import Fault, Kind, Problem, invalid
from fanout_app.web.schemas import ExtendEntry, NackEntry, NextQuery, PullBody, RejectEntry, SettleBody
from fanout_app.web.tokens import UnknownKey

CLIENT_HEADER: Final = "Fanout-Client"
_STABLE: Final = "stable"

ReadToken = Callable[[str], Ref | UnknownKey | None]
D = TypeVar("D", bound=float | None)
E = TypeVar("E", ExtendEntry, NackEntry, RejectEntry)


class Asked(NamedTuple):
    """A pull, and whether its client's name was made up for it."""

    pull: Pull
    anonymous: bool


def pull_of(
    body: PullBody | NextQuery,
    client_header: str | None,
    ack_wait: float,
    asker: Identity = ANYONE,
    *,
    broadcast: bool = False,
) -> Asked:
    """The pull that a body (or the query of /v1/next) asks for.

    ``ack_wait`` is how long leases last if the body does not say. In ``broadcast`` a client that names no group is one
    of its own, which has its name.

    Raises:
        Problem: a name is none, or ``asker`` may not pull for that group.
    """
    faults: list[Fault] = []
    anonymous = False
    if not isinstance(body.client, UnsetType):
        client = _name(body.client, "client", faults)
    elif client_header is not None:
        client = _name(client_header, CLIENT_HEADER, faults)
    else:
        client = f"anon-{secrets.token_hex(8)}"
        anonymous = True
    group = asker.group or (client if broadcast else _STABLE)
    if broadcast and anonymous and asker.group is None and isinstance(body.group, UnsetType):
        faults.append(Fault("client", "expected a name, or one of a group: each group gets every message"))
    if not isinstance(body.group, UnsetType) and body.group != group:
        group = _name(body.group, "group", faults)
    if faults:
        raise invalid(faults)
    if asker.group is not None and group != asker.group:
        raise Problem(
            Kind.FORBIDDEN, f"this token may pull for the group {asker.group!r} alone: name that one, or no group"
        )
    ack_wait = seconds(body.ack_wait_ms, ack_wait)
    if isinstance(body, NextQuery):
        return Asked(Pull(client=client, group=group, ack_wait=ack_wait), anonymous)
    return Asked(
        Pull(
            client=client,
            group=group,
            max_messages=body.max_messages,
            max_bytes=body.max_bytes,
            ack_wait=ack_wait,
            receive_id="" if isinstance(body.receive_id, UnsetType) else body.receive_id,
            again=body.repeat and not isinstance(body.receive_id, UnsetType),
        ),
        anonymous,
    )


def name_of(given: str, field: str) -> str:
    """A name that is compared with those of pulls. Raises `Problem`."""
    faults: list[Fault] = []
    name = _name(given, field, faults)
    if faults:
        raise invalid(faults)
    return name


def _name(given: str, field: str, faults: list[Fault]) -> str:
    """The name as it is compared, or nothing, and why in ``faults``."""
    name = names.in_form(given)
    if name is None:
        faults.append(Fault(field, f"expected {names.RULE}"))
        return ""
    return name


class ToSettle(NamedTuple):
    """A settle for the core, and the tokens it cannot be asked about: signed with a key not read yet."""

    settle: Settle
    unread: list[str]


def settle_of(body: SettleBody, read: ReadToken, ack_wait: float) -> ToSettle:
    unread: list[str] = []

    def known(entries: Iterable[E]) -> Iterator[tuple[E, Ref | None]]:
        for entry in entries:
            ref = read(entry.lease)
            if ref is UnknownKey.UNKNOWN_KEY:
                unread.append(entry.lease)
            else:
                yield entry, ref

    if not (body.extend or body.nack or body.reject) and len(body.ack) == 1:
        # Whoever takes one message, or one batch, at a time.
        token = body.ack[0]
        ref = read(token)
        if ref is UnknownKey.UNKNOWN_KEY:
            return ToSettle(Settle(durable=body.durable), [token])
        return ToSettle(Settle(ack=[Entry(token=token, ref=ref)], durable=body.durable), [])
    extend = [Entry(token=e.lease, ref=ref, ack_wait=seconds(e.ack_wait_ms, ack_wait)) for e, ref in known(body.extend)]
    nack = [
        Entry(token=e.lease, ref=ref, delay=seconds(e.delay_ms, None), reason=e.reason) for e, ref in known(body.nack)
    ]
    reject = [Entry(token=e.lease, ref=ref, reason=e.reason) for e, ref in known(body.reject)]
    # Acks come by the thousand: no generator, no attribute, for each of them.
    refs = list(map(read, body.ack))
    acked = zip(body.ack, refs, strict=True)
    ack = [Entry(token=token, ref=ref) for token, ref in acked if ref is not UnknownKey.UNKNOWN_KEY]
    if len(ack) < len(refs):
        unread += [t for t, ref in zip(body.ack, refs, strict=True) if ref is UnknownKey.UNKNOWN_KEY]
    return ToSettle(Settle(extend=extend, nack=nack, reject=reject, ack=ack, durable=body.durable), unread)


def seconds(milliseconds: int | UnsetType, default: D) -> float | D:
    return default if isinstance(milliseconds, UnsetType) else milliseconds / 1000
