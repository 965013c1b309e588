"""Tokens: what is written is read back, by whoever has the key, and nothing else is taken for one."""

from __future__ import annotations

import re
import string
from base64 import urlsafe_b64decode, urlsafe_b64encode
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout_app.core.errors import OptionError
from fanout_app.core.lease import Answer, LeaseRun
from fanout_app.core.requests import BatchRef, LeaseRef
from fanout_app.lease_keys import LeaseKeys
from fanout_app.web.tokens import TokenCodec, UnknownKey
from unit.web.fake_runtime import Record

ALPHABET = string.ascii_letters + string.digits + "-_"
CODEC = TokenCodec(LeaseKeys([b"first key"]), "id", "topic")
OTHER = TokenCodec(LeaseKeys([b"first key"]), "id", "topic")

offsets = st.integers(0, 2**63 - 1 - 4000)
batches = st.integers(0, 2**64 - 1)


@st.composite
def runs(draw: st.DrawFn) -> LeaseRun:
    """Runs with and without holes, on both sides of the borders of blocks."""
    first = draw(offsets)
    length = draw(st.integers(1, 600))
    if draw(st.booleans()):
        found = list(range(first, first + length))
    else:
        found = sorted(draw(st.sets(st.integers(first, first + 4000), min_size=1, max_size=40)))
    return _run(found, batch=draw(batches), partition=draw(st.integers(0, 2**32 - 1)), era=draw(st.integers(0, 9)))


def _run(found: list[int], *, batch: int = 7, partition: int = 3, era: int = 1, delivery_count: int = 2) -> LeaseRun:
    return LeaseRun(
        batch=batch,
        partition=partition,
        era=era,
        client="ann",
        group="stable",
        messages=[Record(offset=offset) for offset in found],
        delivery_count=delivery_count,
        delivered_at=0.0,
        ack_wait=30.0,
    )


def _batch_of(run: LeaseRun, codec: TokenCodec = CODEC) -> str:
    return codec.batch(Answer(batch=run.batch, client="ann", group="stable", runs=[run]))


@given(runs())
def test_each_lease_of_a_run_is_read_back_as_what_it_is(run: LeaseRun) -> None:
    tokens = CODEC.leases(run)
    refs = [LeaseRef(run.partition, run.era, m.offset, run.delivery_count, run.batch) for m in run.messages]
    assert [CODEC.read(token) for token in tokens] == refs
    assert len(set(tokens)) == len(tokens)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,120}", token) for token in tokens)


@given(runs())
def test_a_lease_written_again_by_another_worker_has_the_same_token(run: LeaseRun) -> None:
    other = TokenCodec(LeaseKeys([b"first key"]), "id", "topic")
    refs = [CODEC.read(token) for token in CODEC.leases(run)]
    assert [other.lease(ref) for ref in refs if isinstance(ref, LeaseRef)] == CODEC.leases(run)


@given(st.integers(0, 2**32 - 1), batches)
def test_a_batch_is_read_back(partition: int, batch: int) -> None:
    token = _batch_of(_run([5], partition=partition, batch=batch))
    # The one that has written it remembers it, once; the second time it is proven, as at any other worker.
    assert [codec.read(token) for codec in (CODEC, CODEC, OTHER)] == [BatchRef(partition, batch)] * 3
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,120}", token)


def test_no_more_batches_are_remembered_than_4096_and_all_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    proofs: list[bytes] = []
    prove = TokenCodec._batch_mac
    tokens = [_batch_of(_run([5], batch=batch)) for batch in range(5000)]

    def proven(codec: TokenCodec, key_id: bytes, head: bytes) -> bytes:
        proofs.append(head)
        return prove(codec, key_id, head)

    monkeypatch.setattr(TokenCodec, "_batch_mac", proven)
    assert [CODEC.read(token) for token in tokens] == [BatchRef(3, batch) for batch in range(5000)]
    assert len(proofs) == 5000 - 4096


def _refused(token: str, codec: TokenCodec = CODEC) -> bool:
    return not isinstance(codec.read(token), LeaseRef | BatchRef)


@pytest.mark.parametrize("token", [CODEC.leases(_run(list(range(250, 260))))[7], _batch_of(_run([5]))])
def test_a_token_with_any_one_character_changed_is_refused(token: str) -> None:
    for at, right in enumerate(token):
        for wrong in {*ALPHABET, "+", "/", "=", "é", "\0", " "} - {right}:
            assert _refused(token[:at] + wrong + token[at + 1 :]), (at, wrong)


@pytest.mark.parametrize("token", [CODEC.leases(_run([5]))[0], _batch_of(_run([5]))])
def test_a_token_cut_short_or_made_longer_is_refused(token: str) -> None:
    for wrong in [token[:end] for end in range(len(token))] + [token + "A", token + "=", "A" + token, token * 2]:
        assert _refused(wrong), wrong


@given(runs(), runs())
def test_heads_and_tails_of_different_leases_do_not_fit(one: LeaseRun, other: LeaseRun) -> None:
    for mine in CODEC.leases(one)[:3]:
        for theirs in CODEC.leases(other)[-3:]:
            if mine[:40] != theirs[:40]:
                assert _refused(mine[:40] + theirs[40:])


def test_the_place_in_a_block_cannot_be_moved() -> None:
    """The tail's tag is that of its own offset: with another offset in front of it, it is none."""
    for place, token in enumerate(CODEC.leases(_run(list(range(256))))):
        tail = urlsafe_b64decode(token[40:])
        assert tail[:2] == place.to_bytes(2)
        for moved in {place ^ 1, place ^ 128, place + 256, 0xFFFF} - {place}:
            assert _refused(token[:40] + urlsafe_b64encode(moved.to_bytes(2) + tail[2:]).decode())


@given(st.text(max_size=130))
def test_any_text_is_refused_without_an_error(text: str) -> None:
    assert CODEC.read(text) is None


@pytest.mark.parametrize(("id", "topic"), [("id", "other"), ("other", "topic"), ("idt", "opic"), ("i", "dtopic")])
@pytest.mark.parametrize("key", [b"first key", b"a key of theirs"])
def test_tokens_of_another_id_or_topic_are_unknown_whatever_their_key(id: str, topic: str, key: bytes) -> None:
    theirs = TokenCodec(LeaseKeys([key]), id, topic)
    assert CODEC.read(theirs.leases(_run([5]))[0]) is None
    assert CODEC.read(_batch_of(_run([5]), theirs)) is None


@pytest.mark.parametrize("kind", ["lease", "batch"])
def test_a_key_shared_by_topics_does_not_make_their_tokens_alike(kind: str) -> None:
    """The stamp has two bytes, so some topic has ours: what proves a token must not be the stamp."""
    stamp = f"_{kind}_stamp"
    keys = LeaseKeys([b"first key"])
    others = (TokenCodec(keys, "id", f"topic-{number}") for number in count())
    theirs = next(codec for codec in others if getattr(codec, stamp) == getattr(CODEC, stamp))
    token = theirs.leases(_run([5]))[0] if kind == "lease" else _batch_of(_run([5]), theirs)
    assert theirs.read(token) is not None
    assert CODEC.read(token) is None


def test_a_key_not_read_yet_is_told_from_a_forgery() -> None:
    ahead = TokenCodec(LeaseKeys([b"new key", b"first key"]), "id", "topic")
    lease, batch = ahead.leases(_run([5]))[0], _batch_of(_run([5]), ahead)
    assert CODEC.read(lease) is UnknownKey.UNKNOWN_KEY
    assert CODEC.read(batch) is UnknownKey.UNKNOWN_KEY
    behind = TokenCodec(LeaseKeys([b"first key"]), "id", "topic")
    behind.use(LeaseKeys([b"first key", b"new key"]))
    assert isinstance(behind.read(lease), LeaseRef)
    assert isinstance(behind.read(batch), BatchRef)


def test_the_first_key_signs_and_all_verify() -> None:
    rotated = TokenCodec(LeaseKeys([b"new key", b"first key"]), "id", "topic")
    assert isinstance(rotated.read(CODEC.leases(_run([5]))[0]), LeaseRef)
    assert rotated.leases(_run([5])) == TokenCodec(LeaseKeys([b"new key"]), "id", "topic").leases(_run([5]))


def test_what_was_verified_with_a_key_is_forgotten_with_it() -> None:
    codec = TokenCodec(LeaseKeys([b"old key"]), "id", "topic")
    token = codec.leases(_run([5]))[0]
    assert isinstance(codec.read(token), LeaseRef)
    codec.use(LeaseKeys([b"new key"]))
    assert codec.read(token) is UnknownKey.UNKNOWN_KEY


def test_heads_kept_stay_few_and_do_not_change_what_is_read() -> None:
    tokens = [CODEC.leases(_run([5], batch=batch))[0] for batch in range(1000)]
    for _ in range(2):
        assert [ref.batch for ref in map(CODEC.read, tokens) if isinstance(ref, LeaseRef)] == list(range(1000))
    assert len(CODEC._heads) <= 256


def test_a_delivery_count_beyond_the_field_is_capped() -> None:
    token = CODEC.leases(_run([5], delivery_count=1_000_000))[0]
    assert CODEC.read(token) == LeaseRef(3, 1, 5, 65_535, 7)


def test_a_run_whose_messages_are_gone_has_no_tokens() -> None:
    run = _run([5])
    run.messages = ()
    assert CODEC.leases(run) == []


def test_a_key_given_twice_counts_once() -> None:
    assert LeaseKeys([b"one", b"two", b"one"]).by_id == LeaseKeys([b"one", b"two"]).by_id


def test_no_key_at_all_says_what_to_do() -> None:
    with pytest.raises(OptionError, match="write one key a line"):
        LeaseKeys(())


def test_an_empty_key_is_no_key() -> None:
    with pytest.raises(OptionError, match="empty"):
        LeaseKeys([b"one", b""])
