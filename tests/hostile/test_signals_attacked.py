"""A dishonest server, and dishonest members, play with signals. Nothing they do is acted upon."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datachannel import credentials as keys
from datachannel import signals
from datachannel.signals import AttemptId, Candidate, Description, SignalBox, SignalRefused
from tests.support.members import a_member, counted_bytes, seed, two_members

NOW = 1_800_000_000.0
ATTEMPT = AttemptId(bytes(16))
OFFER = signals.Offer(
    Description(
        "user", "p" * 22, bytes(32), "actpass", (Candidate("host", "10.0.0.1", 4000, 1, "f"),)
    )
)
ANNA, BEN = two_members()
CARL = a_member("carl")


def box_of(credentials: keys.Credentials, salt: str = "") -> SignalBox:
    return SignalBox(credentials, random_bytes=counted_bytes(salt))


def sealed_by_anna(box: SignalBox | None = None, to: keys.Credentials = BEN) -> bytes:
    return (box or box_of(ANNA)).seal(to.member_id, ATTEMPT, OFFER, now=NOW).blob


def refusal(box: SignalBox, blob: bytes, *, sender=ANNA, now: float = NOW) -> str:
    with pytest.raises(SignalRefused) as caught:
        box.open(sender.member_id, sender.identity_public_key, blob, now=now)
    return caught.value.code


def test_the_server_replays_a_signal():
    ben, blob = box_of(BEN), sealed_by_anna()
    ben.open(ANNA.member_id, ANNA.identity_public_key, blob, now=NOW)
    for later in (0, 1, 59, 61, 3600, -59):
        assert refusal(ben, blob, now=NOW + later) in ("replay", "stale")


def test_the_server_reorders_two_signals():
    ben, annas = box_of(BEN), box_of(ANNA)
    first, second = sealed_by_anna(annas), sealed_by_anna(annas)
    ben.open(ANNA.member_id, ANNA.identity_public_key, second, now=NOW)
    assert refusal(ben, first) == "replay"


def test_the_server_holds_a_signal_back():
    assert refusal(box_of(BEN), sealed_by_anna(), now=NOW + 61) == "stale"


def test_the_server_delivers_to_another_member():
    assert refusal(box_of(CARL), sealed_by_anna()) == "receiver"


def test_the_server_names_another_sender():
    assert refusal(box_of(BEN), sealed_by_anna(), sender=CARL) == "sender"


def test_the_server_sends_a_signal_back_to_its_sender():
    assert refusal(box_of(ANNA), sealed_by_anna(to=BEN)) in ("receiver", "sender")
    assert refusal(box_of(ANNA), sealed_by_anna(to=ANNA)) == "sender"


def test_the_server_moves_a_signal_to_another_group_of_the_same_members():
    others = keys.Credentials(seed("other group"), BEN.group_seed, BEN.box_key, BEN.identity_seed)
    assert refusal(box_of(others), sealed_by_anna()) == "group"


def test_an_outsider_with_another_password_seals_a_signal():
    outsider = two_members(password="guessed")[0]
    assert outsider.member_id == ANNA.member_id
    assert refusal(box_of(BEN), sealed_by_anna(box_of(outsider))) == "seal"


def test_a_member_signs_in_the_name_of_another():
    # Carl has the group's key, and all of Anna's that is public.
    mallory = box_of(CARL)
    mallory._me = ANNA.member_id
    assert refusal(box_of(BEN), sealed_by_anna(mallory)) == "signature"


def test_a_forged_signal_spends_no_counter_of_the_real_sender():
    ben, annas, mallory = box_of(BEN), box_of(ANNA), box_of(CARL)
    mallory._me, mallory._run, mallory._counter = ANNA.member_id, annas._run, 10**9
    assert refusal(ben, sealed_by_anna(mallory)) == "signature"
    ben.open(ANNA.member_id, ANNA.identity_public_key, sealed_by_anna(annas), now=NOW)


def test_a_fingerprint_is_swapped_by_a_member_who_knows_the_groups_key():
    box = box_of(ANNA)
    blob = sealed_by_anna(box)
    plain = BEN.open_sealed(keys.PURPOSE_SIGNAL, blob)
    assert plain.count(bytes(32)) == 1
    swapped = BEN.seal(keys.PURPOSE_SIGNAL, plain.replace(bytes(32), b"\x66" * 32), bytes(24))
    assert refusal(box_of(BEN), swapped) == "signature"


def test_a_card_is_presented_as_a_signal():
    card = keys.MemberCard(ANNA.identity_public_key, "Anna", 1, "0.1")
    assert refusal(box_of(BEN), keys.seal_card(ANNA, card, bytes(24))) == "seal"


def test_every_flipped_bit_is_noticed():
    ben, blob = box_of(BEN), sealed_by_anna()
    for bit in range(0, len(blob) * 8, 11):
        damaged = bytearray(blob)
        damaged[bit // 8] ^= 1 << bit % 8
        assert refusal(ben, bytes(damaged)) == "seal"


def test_a_blob_of_any_size_is_refused():
    for size in (0, 1, 39, 40, 1000, signals.SIGNAL_BYTES_MAX, signals.SIGNAL_BYTES_MAX + 1):
        assert refusal(box_of(BEN), bytes(size)) in ("seal", "size")


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_arbitrary_bytes_under_the_groups_seal_raise_one_error_type(data):
    blob = BEN.seal(keys.PURPOSE_SIGNAL, data, bytes(24))
    assert refusal(box_of(BEN), blob) in ("shape", "version", "sender", "receiver", "group")


@settings(max_examples=200)
@given(
    st.recursive(
        st.none() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=9),
        max_leaves=30,
    )
)
def test_arbitrary_bodies_that_a_member_signed_raise_one_error_type(value):
    body = msgspec.msgpack.encode(value)
    signature = ANNA.sign_as_member(b"covey signal signature v1\0" + body)
    blob = BEN.seal(keys.PURPOSE_SIGNAL, msgspec.msgpack.encode([body, signature]), bytes(24))
    refusal(box_of(BEN), blob)


def test_deeply_nested_bodies_raise_one_error_type():
    body = b"\x91" * 5000 + b"\x00"
    signature = ANNA.sign_as_member(b"covey signal signature v1\0" + body)
    blob = BEN.seal(keys.PURPOSE_SIGNAL, msgspec.msgpack.encode([body, signature]), bytes(24))
    assert refusal(box_of(BEN), blob) == "shape"


@pytest.mark.parametrize("version", [0, 2, 99])
def test_another_version_is_refused_by_name(version):
    body = msgspec.msgpack.encode([version, "whatever comes then"])
    blob = BEN.seal(keys.PURPOSE_SIGNAL, msgspec.msgpack.encode([body, bytes(64)]), bytes(24))
    assert refusal(box_of(BEN), blob) == "version"
