"""Two members prove who they are, over the open channel and bound to it.

WebRTC trusts whoever delivers the fingerprints. So the first thing on a channel are two frames
from each end:

    hello   version, role, the sender's identity key, 32 random bytes
    proof   a signature by the identity and a MAC by the group's key, both over one transcript:
            group, attempt, both member ids, both DTLS fingerprints, both nonces, and the role
            of who signs

An end believes the other when the proof is right for the fingerprints that its own DTLS layer
verified. In the middle sits nobody: his fingerprints would be others. The role is part of the
transcript, so that a reflected proof is no proof. The MAC shows that the password is known, too:
an identity that was removed from the group and kept its key is out.

Pure: bytes in, bytes out. One object serves one channel and is worn out after a refusal.
"""

from __future__ import annotations

import enum
from typing import Literal, NoReturn

import msgspec

from datachannel import credentials as keys
from datachannel.credentials import Credentials
from datachannel.signals import FINGERPRINT_BYTES, AttemptId
from signaling.messages import MemberId, member_id_of

HANDSHAKE_VERSION = 1
NONCE_BYTES = 32
HANDSHAKE_FRAME_BYTES_MAX = 512  # a hello has about 80 bytes, a proof about 110

_TRANSCRIPT_TAG = b"covey channel proof v1\0"

Role = Literal["offerer", "answerer"]


class HandshakeRefused(ValueError):
    """The other end is not who it should be, or does not speak our language."""


class _Hello(msgspec.Struct, frozen=True, array_like=True, tag="hello"):
    version: int
    role: Role
    identity_key: bytes
    nonce: bytes


class _Proof(msgspec.Struct, frozen=True, array_like=True, tag="proof"):
    role: Role
    signature: bytes
    mac: bytes


class _State(enum.Enum):
    EXPECTS_HELLO = enum.auto()
    EXPECTS_PROOF = enum.auto()
    DONE = enum.auto()
    REFUSED = enum.auto()


# What may come in which state, and what it leads to. Everything else is a refusal.
_NEXT: dict[tuple[_State, type], _State] = {
    (_State.EXPECTS_HELLO, _Hello): _State.EXPECTS_PROOF,
    (_State.EXPECTS_PROOF, _Proof): _State.DONE,
}


class Handshake:
    """One end's half of the proof. Send `hello()`, feed `receive` until `done`."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        remote: MemberId,
        attempt: AttemptId,
        role: Role,
        local_fingerprint: bytes,
        remote_fingerprint: bytes,
        nonce: bytes,
    ) -> None:
        if len(local_fingerprint) != FINGERPRINT_BYTES:
            raise ValueError("a fingerprint is a SHA-256")
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"a nonce has {NONCE_BYTES} bytes")
        self._credentials = credentials
        self._me = credentials.member_id
        self._remote = remote
        self._attempt = attempt
        self._role: Role = role
        self._remote_role: Role = "answerer" if role == "offerer" else "offerer"
        self._local_fingerprint = local_fingerprint
        self._remote_fingerprint = remote_fingerprint
        self._nonce = nonce
        self._remote_nonce = b""
        self._remote_key = b""
        self._state = _State.EXPECTS_HELLO
        if remote == self._me:
            self._refuse("a member does not connect to itself")

    @property
    def done(self) -> bool:
        """Whether the other end is proven. Our own proof was returned by then."""
        return self._state is _State.DONE

    def hello(self) -> bytes:
        """The first frame to send."""
        return msgspec.msgpack.encode(
            _Hello(
                HANDSHAKE_VERSION, self._role, self._credentials.identity_public_key, self._nonce
            )
        )

    def receive(self, frame: bytes) -> bytes | None:
        """Take a frame; returns the frame to send in return, if any. Raises HandshakeRefused."""
        if len(frame) > HANDSHAKE_FRAME_BYTES_MAX:
            self._refuse("a frame that is no handshake")
        try:
            message = msgspec.msgpack.decode(frame, type=_Hello | _Proof)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self._refuse("a frame that is no handshake")
        following = _NEXT.get((self._state, type(message)))
        if following is None:
            self._refuse("a handshake out of order")
        answer = None
        if isinstance(message, _Hello):
            self._meet(message)
            answer = self._prove()
        else:
            self._verify(message)
        self._state = following
        return answer

    def _meet(self, hello: _Hello) -> None:
        if hello.version != HANDSHAKE_VERSION:
            self._refuse(f"the other end speaks version {hello.version} of the handshake")
        if hello.role != self._remote_role:
            self._refuse("both ends say that they offered, or our own hello came back")
        if len(hello.identity_key) != keys.KEY_BYTES or len(hello.nonce) != NONCE_BYTES:
            self._refuse("a hello of the wrong shape")
        if member_id_of(hello.identity_key) != self._remote:
            self._refuse("another member than the one that was called")
        self._remote_key = hello.identity_key
        self._remote_nonce = hello.nonce

    def _prove(self) -> bytes:
        transcript = self._transcript(self._role)
        return msgspec.msgpack.encode(
            _Proof(
                self._role,
                self._credentials.sign_as_member(transcript),
                self._credentials.mac(keys.PURPOSE_CHANNEL, transcript),
            )
        )

    def _verify(self, proof: _Proof) -> None:
        transcript = self._transcript(self._remote_role)
        if proof.role != self._remote_role:
            self._refuse("our own proof came back")
        if not keys.signature_is_right(self._remote_key, transcript, proof.signature):
            self._refuse("the member's signature does not fit this channel")
        if not self._credentials.mac_is_right(keys.PURPOSE_CHANNEL, transcript, proof.mac):
            self._refuse("the other end does not know the group's password")

    def _transcript(self, signer: Role) -> bytes:
        mine = (self._me, self._local_fingerprint, self._nonce)
        theirs = (self._remote, self._remote_fingerprint, self._remote_nonce)
        offerer, answerer = (mine, theirs) if self._role == "offerer" else (theirs, mine)
        fields = (self._credentials.name_id, self._attempt, *offerer, *answerer, signer.encode())
        # Each field with its length: no two different lists of fields give the same bytes.
        return _TRANSCRIPT_TAG + b"".join(len(one).to_bytes(2, "big") + one for one in fields)

    def _refuse(self, why: str) -> NoReturn:
        self._state = _State.REFUSED
        raise HandshakeRefused(why)
