"""How a token says which group it is of, where each group has leases of its own: by the first bits of its batch."""

from __future__ import annotations

from hashlib import blake2b

from fanout_app.core.requests import Entry, Settle

_HASH_BITS = 24
#: What is left of a batch number for chance.
RANDOM_BITS = 64 - _HASH_BITS


def hash_of(group: str) -> int:
    return int.from_bytes(blake2b(group.encode(), digest_size=_HASH_BITS // 8).digest())


def bits_of(batch: int) -> int:
    """The `hash_of` the group that a batch was handed out to."""
    return batch >> RANDOM_BITS


def split(settle: Settle) -> dict[int | None, Settle]:
    """By the group that each entry is of; None: no token of ours."""
    parts: dict[int | None, dict[str, list[Entry]]] = {}
    for verb in ("extend", "nack", "reject", "ack"):
        for entry in getattr(settle, verb):
            of = None if entry.ref is None else bits_of(entry.ref.batch)
            parts.setdefault(of, {}).setdefault(verb, []).append(entry)
    return {of: Settle(**lists, durable=settle.durable) for of, lists in parts.items()}
