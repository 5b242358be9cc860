from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datachannel import credentials as keys
from datachannel.credentials import CredentialError, MemberCard, open_card, seal_card
from signaling.messages import member_id_of
from tests.support.members import a_member, card_of

NONCE = bytes(range(24))


def test_a_card_opens_as_what_was_sealed():
    anna, ben = a_member("anna"), a_member("ben")
    card = MemberCard(anna.identity_public_key, "Anna’s laptop ☕", 12_345, "0.1.0")
    assert open_card(ben, anna.member_id, seal_card(anna, card, NONCE)) == card


def test_a_card_shows_no_name_to_who_has_no_group_key():
    anna = a_member("anna")
    assert b"laptop" not in seal_card(anna, card_of(anna, "laptop"), NONCE)


def test_a_card_does_not_open_with_another_password_or_in_another_group():
    anna = a_member("anna")
    sealed = seal_card(anna, card_of(anna), NONCE)
    with pytest.raises(CredentialError):
        open_card(a_member("ben", password="wrong"), anna.member_id, sealed)
    with pytest.raises(CredentialError):
        open_card(a_member("ben", group="the millers"), anna.member_id, sealed)


def test_a_card_is_not_the_card_of_another_member():
    anna, ben = a_member("anna"), a_member("ben")
    with pytest.raises(CredentialError, match="another member"):
        open_card(ben, ben.member_id, seal_card(anna, card_of(anna), NONCE))


def test_a_member_cannot_make_a_card_for_another():
    anna, mallory = a_member("anna"), a_member("mallory")
    with pytest.raises(ValueError, match="its own card"):
        seal_card(mallory, card_of(anna), NONCE)
    # With the group's key in hand, and Anna's public key, but not her seed:
    body = msgspec.msgpack.encode([1, anna.identity_public_key, "Anna", 5, "0.1"])
    signature = mallory.sign_as_member(body)
    forged = mallory.seal(keys.PURPOSE_CARD, msgspec.msgpack.encode([body, signature]), NONCE)
    with pytest.raises(CredentialError, match="not signed"):
        open_card(a_member("ben"), anna.member_id, forged)


def test_a_seal_opens_for_its_purpose_only():
    anna = a_member("anna")
    sealed = anna.seal(keys.PURPOSE_SIGNAL, b"text", NONCE)
    assert anna.open_sealed(keys.PURPOSE_SIGNAL, sealed) == b"text"
    with pytest.raises(CredentialError):
        anna.open_sealed(keys.PURPOSE_CARD, sealed)


def test_a_card_of_a_later_version_is_refused_with_a_clear_word():
    anna = a_member("anna")
    body = msgspec.msgpack.encode([2, anna.identity_public_key, "Anna", 5, "9.0", "new field"])
    sealed = anna.seal(
        keys.PURPOSE_CARD, msgspec.msgpack.encode([body, anna.sign_as_member(body)]), NONCE
    )
    with pytest.raises(CredentialError, match="version 2"):
        open_card(a_member("ben"), anna.member_id, sealed)


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "a\x1b[2Jb", "a\u202eb", "a\u2028b"])
def test_a_name_that_could_spoil_a_terminal_is_no_name(name):
    with pytest.raises(ValueError, match="name"):
        MemberCard(bytes(32), name, 0, "0.1")


@pytest.mark.parametrize("offer", [-1, (1 << 60) + 1])
def test_an_offer_of_space_is_bounded(offer):
    with pytest.raises(ValueError, match="offer"):
        MemberCard(bytes(32), "Anna", offer, "0.1")


def test_every_flipped_bit_of_a_card_is_noticed():
    anna, ben = a_member("anna"), a_member("ben")
    sealed = seal_card(anna, card_of(anna), NONCE)
    for bit in range(0, len(sealed) * 8, 7):
        damaged = bytearray(sealed)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CredentialError):
            open_card(ben, anna.member_id, bytes(damaged))


@given(st.binary(max_size=300))
def test_opening_arbitrary_bytes_raises_one_error_type(data):
    ben = a_member("ben")
    with pytest.raises(CredentialError):
        open_card(ben, ben.member_id, data)
    within = ben.seal(keys.PURPOSE_CARD, data, NONCE)
    with pytest.raises(CredentialError):
        open_card(ben, ben.member_id, within)


def test_an_oversized_card_is_refused_before_it_is_looked_at():
    ben = a_member("ben")
    with pytest.raises(CredentialError, match="size"):
        open_card(ben, ben.member_id, bytes(keys.SEALED_CARD_BYTES_MAX + 1))


def test_a_repr_shows_no_secret():
    anna = a_member("anna")
    text = repr(anna)
    for secret in (anna.group_seed, anna.box_key, anna.identity_seed):
        assert repr(secret) not in text
        assert secret.hex() not in text


def test_the_member_id_is_that_of_the_identity_key():
    anna = a_member("anna")
    assert anna.member_id == member_id_of(anna.identity_public_key)
    assert anna.member_id == card_of(anna).member_id


@given(message=st.binary(max_size=80), key=st.binary(max_size=40), signature=st.binary(max_size=70))
def test_a_signature_check_takes_any_bytes(message, key, signature):
    assert not keys.signature_is_right(key, message, signature)


def test_signatures_and_macs_are_right_for_what_was_signed_only():
    anna = a_member("anna")
    signature, mac = anna.sign_as_member(b"a"), anna.mac(keys.PURPOSE_CHANNEL, b"a")
    assert keys.signature_is_right(anna.identity_public_key, b"a", signature)
    assert not keys.signature_is_right(anna.identity_public_key, b"b", signature)
    assert not keys.signature_is_right(anna.group_public_key, b"a", signature)
    assert anna.mac_is_right(keys.PURPOSE_CHANNEL, b"a", mac)
    assert not anna.mac_is_right(keys.PURPOSE_CHANNEL, b"b", mac)
    assert not anna.mac_is_right(keys.PURPOSE_CARD, b"a", mac)


def test_keys_of_the_wrong_length_are_a_bug_of_the_caller():
    with pytest.raises(ValueError, match="box key"):
        keys.Credentials(bytes(32), bytes(32), bytes(31), bytes(32))
