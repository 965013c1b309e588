"""The keys that everything of one id and topic is signed with: lease tokens, and what workers tell each other."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256, shake_256
from hmac import compare_digest
from typing import Final

from fanout_app.core.errors import OptionError

_KEY_ID: Final = 2
_MAC: Final = 16


class LeaseKeys:
    """The keys tokens are signed with: the first signs, all of them verify."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        self.by_id: dict[bytes, bytes] = {}
        for key in dict.fromkeys(keys):
            if not key:
                raise OptionError("a lease key is empty: remove it, or write at least 32 random characters")
            key_id = sha256(b"fanout key id" + key).digest()[:2]
            if key_id in self.by_id:
                raise OptionError("two lease keys have the same key id by chance: make another one of them")
            # Hashed to one length, so that no key is the beginning of another one and of what follows it.
            self.by_id[key_id] = sha256(b"fanout lease key" + key).digest()
        if not self.by_id:
            raise OptionError("there is no lease key: write one key a line, at least 32 random characters each")
        self.signing_id = next(iter(self.by_id))


class Seal:
    """Signs and checks what workers of one id and topic tell each other. A seal is 18 bytes: the key's id and a MAC."""

    SIZE: Final = _KEY_ID + _MAC

    def __init__(self, keys: LeaseKeys, id: str, topic: str) -> None:
        self._keys = keys
        self._place = _framed(id.encode()) + _framed(topic.encode())

    def use(self, keys: LeaseKeys) -> None:
        """Go on with these keys (the file has changed)."""
        self._keys = keys

    def of(self, purpose: str, *parts: bytes) -> bytes:
        """The seal of these parts, which are told apart; it is good for this purpose only."""
        key_id = self._keys.signing_id
        return key_id + self._mac(key_id, purpose, parts)

    def fits(self, seal: bytes, purpose: str, *parts: bytes) -> bool:
        """Whether one of our keys has sealed just this."""
        key_id, mac = seal[:_KEY_ID], seal[_KEY_ID:]
        return key_id in self._keys.by_id and compare_digest(mac, self._mac(key_id, purpose, parts))

    def _mac(self, key_id: bytes, purpose: str, parts: Iterable[bytes]) -> bytes:
        # SHAKE is a sponge: a key in front of what it covers makes it a keyed function.
        framed = b"".join(map(_framed, (b"seal", purpose.encode(), *parts)))
        return shake_256(self._keys.by_id[key_id] + framed + self._place).digest(_MAC)


def _framed(part: bytes) -> bytes:
    """With its length in front, so that ("a", "bc") and ("ab", "c") are not the same."""
    return b"%d:%b" % (len(part), part)
