"""What workers tell each other is signed: nothing of it can be changed, moved to another purpose or to another id."""

from __future__ import annotations

import pytest

from fanout_app.lease_keys import LeaseKeys, Seal

SEAL = Seal(LeaseKeys([b"first key", b"second key"]), "id", "topic")


def test_a_seal_fits_what_was_sealed() -> None:
    seal = SEAL.of("board", b"key", b"value")

    assert len(seal) == Seal.SIZE
    assert SEAL.fits(seal, "board", b"key", b"value")


@pytest.mark.parametrize(
    ("purpose", "parts"),
    [
        ("link", (b"key", b"value")),
        ("board", (b"key", b"valuf")),
        ("board", (b"keyv", b"alue")),
        ("board", (b"key", b"value", b"")),
        ("board", (b"value", b"key")),
    ],
)
def test_a_seal_fits_nothing_else(purpose: str, parts: tuple[bytes, ...]) -> None:
    assert not SEAL.fits(SEAL.of("board", b"key", b"value"), purpose, *parts)


@pytest.mark.parametrize(("id", "topic"), [("id", "topics"), ("i", "dtopic"), ("other", "topic")])
def test_a_seal_of_another_id_and_topic_does_not_fit(id: str, topic: str) -> None:
    theirs = Seal(LeaseKeys([b"first key"]), id, topic)

    assert not SEAL.fits(theirs.of("board", b"value"), "board", b"value")


def test_every_key_verifies_and_the_first_signs() -> None:
    rotated = Seal(LeaseKeys([b"second key"]), "id", "topic")

    assert SEAL.fits(rotated.of("board", b"value"), "board", b"value")
    assert not rotated.fits(SEAL.of("board", b"value"), "board", b"value")


@pytest.mark.parametrize("change", range(Seal.SIZE))
def test_every_byte_of_a_seal_counts(change: int) -> None:
    seal = bytearray(SEAL.of("board", b"value"))
    seal[change] ^= 1

    assert not SEAL.fits(bytes(seal), "board", b"value")


@pytest.mark.parametrize("forged", [b"", b"ab", b"\x00" * Seal.SIZE])
def test_what_is_no_seal_does_not_fit(forged: bytes) -> None:
    assert not SEAL.fits(forged, "board", b"value")
