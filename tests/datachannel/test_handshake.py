from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datachannel.handshake import Handshake, HandshakeRefused
from datachannel.signals import AttemptId
from tests.support.members import a_member, two_members

ANNA, BEN = two_members()
ATTEMPT = AttemptId(bytes(16))
ANNA_CERTIFICATE, BEN_CERTIFICATE, OTHER_CERTIFICATE = (bytes([n]) * 32 for n in (1, 2, 3))


def annas(**changes: Any) -> Handshake:
    fields: dict[str, Any] = {
        "remote": BEN.member_id,
        "attempt": ATTEMPT,
        "role": "offerer",
        "local_fingerprint": ANNA_CERTIFICATE,
        "remote_fingerprint": BEN_CERTIFICATE,
        "nonce": b"a" * 32,
    }
    credentials = changes.pop("credentials", ANNA)
    return Handshake(credentials, **(fields | changes))


def bens(**changes: Any) -> Handshake:
    fields: dict[str, Any] = {
        "remote": ANNA.member_id,
        "attempt": ATTEMPT,
        "role": "answerer",
        "local_fingerprint": BEN_CERTIFICATE,
        "remote_fingerprint": ANNA_CERTIFICATE,
        "nonce": b"b" * 32,
    }
    credentials = changes.pop("credentials", BEN)
    return Handshake(credentials, **(fields | changes))


def shake(anna: Handshake, ben: Handshake) -> None:
    """Carry the four frames over."""
    annas_proof = anna.receive(ben.hello())
    bens_proof = ben.receive(anna.hello())
    assert annas_proof is not None
    assert bens_proof is not None
    assert anna.receive(bens_proof) is None
    assert ben.receive(annas_proof) is None


def let_anna_judge(ben: Handshake) -> None:
    anna = annas()
    anna.receive(ben.hello())
    anna.receive(ben.receive(anna.hello()) or b"")


def let_ben_judge(ben: Handshake) -> None:
    anna = annas()
    ben.receive(anna.hello())
    ben.receive(anna.receive(ben.hello()) or b"")


def test_two_members_on_one_channel_believe_each_other():
    anna, ben = annas(), bens()
    assert not anna.done
    shake(anna, ben)
    assert anna.done
    assert ben.done


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"local_fingerprint": OTHER_CERTIFICATE}, id="a swapped certificate of Ben"),
        pytest.param({"remote_fingerprint": OTHER_CERTIFICATE}, id="a swapped certificate of Anna"),
        pytest.param({"attempt": AttemptId(b"x" * 16)}, id="another attempt"),
        pytest.param({"credentials": a_member("carl")}, id="another member"),
        pytest.param({"credentials": two_members(password="wrong")[1]}, id="another password"),
        pytest.param({"credentials": two_members(group="others")[1]}, id="another group"),
        pytest.param({"role": "offerer"}, id="the same role"),
    ],
)
def test_whatever_does_not_fit_is_refused_by_both(other):
    with pytest.raises(HandshakeRefused):
        let_anna_judge(bens(**other))
    with pytest.raises(HandshakeRefused):
        let_ben_judge(bens(**other))


def test_a_man_in_the_middle_with_both_frames_in_hand_gets_nowhere():
    # He ends both DTLS channels himself and passes the frames on unchanged.
    anna = annas(remote_fingerprint=OTHER_CERTIFICATE)
    ben = bens(remote_fingerprint=OTHER_CERTIFICATE)
    with pytest.raises(HandshakeRefused, match="does not fit this channel"):
        shake(anna, ben)
    assert not anna.done
    assert not ben.done


def test_a_reflected_hello_is_refused():
    anna = annas()
    with pytest.raises(HandshakeRefused):
        anna.receive(anna.hello())


def test_a_reflected_proof_is_refused():
    anna, ben = annas(), bens()
    proof = anna.receive(ben.hello())
    assert proof is not None
    with pytest.raises(HandshakeRefused):
        anna.receive(proof)
    assert not anna.done


def test_a_proof_of_an_earlier_channel_is_refused():
    before = bens(nonce=b"c" * 32)
    old_proof = before.receive(annas(nonce=b"d" * 32).hello())
    assert old_proof is not None
    anna = annas()
    anna.receive(before.hello())
    with pytest.raises(HandshakeRefused):
        anna.receive(old_proof)


def test_a_member_of_the_old_password_with_a_right_signature_is_refused():
    # Anna's key, Anna's channel, but the group changed its password: the MAC tells.
    expelled = two_members(password="old")[1]
    assert expelled.member_id == BEN.member_id
    anna = annas()
    anna.receive(bens(credentials=expelled).hello())
    proof = bens(credentials=expelled).receive(annas().hello())
    assert proof is not None
    with pytest.raises(HandshakeRefused, match="password"):
        anna.receive(proof)


def test_a_member_does_not_connect_to_itself():
    with pytest.raises(HandshakeRefused):
        annas(remote=ANNA.member_id)


def test_frames_out_of_order_are_refused():
    anna, ben = annas(), bens()
    proof = ben.receive(anna.hello())
    assert proof is not None
    with pytest.raises(HandshakeRefused, match="out of order"):
        annas().receive(proof)
    anna.receive(ben.hello())
    with pytest.raises(HandshakeRefused, match="out of order"):
        anna.receive(ben.hello())


def test_after_a_refusal_nothing_is_accepted():
    anna, ben = annas(), bens()
    with pytest.raises(HandshakeRefused):
        anna.receive(b"nonsense")
    with pytest.raises(HandshakeRefused):
        anna.receive(ben.hello())
    assert not anna.done


@given(st.binary(max_size=600))
def test_arbitrary_bytes_raise_one_error_type(data):
    with pytest.raises(HandshakeRefused):
        annas().receive(data)
    anna = annas()
    anna.receive(bens().hello())
    with pytest.raises(HandshakeRefused):
        anna.receive(data)


def test_every_flipped_bit_of_a_proof_is_noticed():
    anna, ben = annas(), bens()
    proof = ben.receive(anna.hello())
    assert proof is not None
    hello = ben.hello()
    for bit in range(0, len(proof) * 8, 5):
        damaged = bytearray(proof)
        damaged[bit // 8] ^= 1 << bit % 8
        fresh = annas()
        fresh.receive(hello)
        with pytest.raises(HandshakeRefused):
            fresh.receive(bytes(damaged))
