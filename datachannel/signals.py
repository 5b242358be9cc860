"""What two members say to each other through the server, which reads and changes none of it.

A signal is signed by its sender and sealed with the group's key. The signature covers
everything: version, group, sender, receiver, the sender's run, the attempt, a counter, the
time and the payload. Whoever carries signals can drop or delay them, nothing more:

- a signal for another member, another group or from another member does not open;
- a replayed or reordered one has a counter that is not higher than the last of its run;
- one older than 60 s, or from a clock that is more than 60 s ahead, is refused;
- an answer names the offer that it answers by its hash, so that answers cannot be exchanged.

Counters belong to a *run* of the sender's program (16 random bytes), not to a clock: a clock
that was set back must not lock a member out. The runs of the last minutes are remembered.

An offer is a few fields, not SDP: what the WebRTC engine needs, validated before it sees it.

Not here: sending and time-outs (mesh.py), making descriptions (webrtc.py).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NewType

import msgspec

from datachannel import credentials as keys
from datachannel.credentials import Credentials
from signaling.messages import MemberId

SIGNAL_VERSION = 1
SIGNAL_AGE_S_MAX = 60.0
SIGNAL_BYTES_MAX = 16 * 1024  # the server's limit for one blob
CANDIDATES_MAX = 32  # a laptop with bridges and VPNs has about ten
RUN_BYTES = 16
ATTEMPT_BYTES = 16
FINGERPRINT_BYTES = 32  # SHA-256
DIGEST_BYTES = 32
RUNS_PER_MEMBER_MAX = 32  # programs started within the last minutes by one member

AttemptId = NewType("AttemptId", bytes)
CandidateKind = Literal["host", "srflx", "relay"]

_SIGNATURE_TAG = b"covey signal signature v1\0"
_DIGEST_PERSON = b"covey offer hash"
_ICE_TEXT = re.compile(r"[A-Za-z0-9+/]+")
_RUN_MEMORY_S = 2 * SIGNAL_AGE_S_MAX + 1.0  # a signal is dated up to 60 s off either way


class SignalRefused(ValueError):
    """A signal that is not acted upon. `code` is a word for counters and tests."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Candidate(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An address at which a member may be reached, over UDP."""

    kind: CandidateKind
    address: str
    port: int
    priority: int
    foundation: str

    def __post_init__(self) -> None:
        # An address and no name: a name would make the receiver ask DNS or mDNS about it.
        if str(ipaddress.ip_address(self.address)) != self.address:
            raise ValueError("an address is written in its shortest form")
        if "%" in self.address:
            raise ValueError("a zone means something on its own computer only")
        if not 0 < self.port < 1 << 16:
            raise ValueError("a port is between 1 and 65535")
        if not 0 < self.priority < 1 << 32:
            raise ValueError("a priority has 32 bits")
        if len(self.foundation) > 32 or not _ICE_TEXT.fullmatch(self.foundation):
            raise ValueError("a foundation has 1 to 32 ICE characters")


class Description(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One end of a connection to be: what SDP would say of a single data channel."""

    username: str
    password: str
    fingerprint: bytes
    setup: Literal["actpass", "active", "passive"]
    candidates: tuple[Candidate, ...]
    complete: bool = True  # the end of candidates: no more will follow

    def __post_init__(self) -> None:
        for what, text, chars_min in (
            ("a user name", self.username, 4),
            ("a password", self.password, 22),
        ):
            if not chars_min <= len(text) <= 256 or not _ICE_TEXT.fullmatch(text):
                raise ValueError(f"{what} has {chars_min} to 256 ICE characters")
        if len(self.fingerprint) != FINGERPRINT_BYTES:
            raise ValueError("a fingerprint is a SHA-256")
        if len(self.candidates) > CANDIDATES_MAX:
            raise ValueError(f"a description has at most {CANDIDATES_MAX} candidates")


class Offer(msgspec.Struct, frozen=True, array_like=True, tag="offer"):
    """Connect to me. The member with the lower id offers, always."""

    description: Description


class Answer(msgspec.Struct, frozen=True, array_like=True, tag="answer"):
    """I take this offer."""

    offer_digest: bytes
    description: Description

    def __post_init__(self) -> None:
        if len(self.offer_digest) != DIGEST_BYTES:
            raise ValueError("an offer's hash has 32 bytes")


class PleaseCall(msgspec.Struct, frozen=True, array_like=True, tag="call"):
    """I, with the higher id, would like an offer."""


class MoreCandidates(msgspec.Struct, frozen=True, array_like=True, tag="more"):
    """Further addresses for an attempt; `complete` says that these were the last."""

    candidates: tuple[Candidate, ...]
    complete: bool

    def __post_init__(self) -> None:
        if len(self.candidates) > CANDIDATES_MAX:
            raise ValueError(f"at most {CANDIDATES_MAX} candidates at a time")


class Decline(msgspec.Struct, frozen=True, array_like=True, tag="no"):
    """Not now: asking again at once is useless."""

    code: Literal["busy"]


Payload = Offer | Answer | PleaseCall | MoreCandidates | Decline


class _Body(msgspec.Struct, frozen=True, array_like=True):
    version: int  # first, and never moved
    name_id: bytes
    sender: bytes
    receiver: bytes
    run: bytes
    attempt: bytes
    counter: int
    time_ms: int
    payload: Payload


class _Signed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    body: bytes
    signature: bytes


class _Head(msgspec.Struct, frozen=True, array_like=True):
    version: int


@dataclass(frozen=True, slots=True)
class Sealed:
    """A signal ready to be sent, and its hash, by which an answer will name it."""

    blob: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal that was verified: it is new, and its sender meant it for us."""

    sender: MemberId
    attempt: AttemptId
    payload: Payload
    digest: bytes


@dataclass(slots=True)
class _Run:
    counter: int
    seen_at: float


class SignalBox:
    """Seals our signals and opens those of friends. Pure: time and randomness are handed in.

    `random_bytes` is used for nonces and for this run's name.
    """

    def __init__(self, credentials: Credentials, *, random_bytes: Callable[[int], bytes]) -> None:
        self._credentials = credentials
        self._me = credentials.member_id
        self._random_bytes = random_bytes
        self._run = random_bytes(RUN_BYTES)
        self._counter = 0
        self._runs: dict[MemberId, dict[bytes, _Run]] = {}

    def seal(self, to: MemberId, attempt: AttemptId, payload: Payload, *, now: float) -> Sealed:
        """Sign and seal for one member. `now` is the wall clock, in seconds."""
        self._counter += 1
        body = msgspec.msgpack.encode(
            _Body(
                version=SIGNAL_VERSION,
                name_id=self._credentials.name_id,
                sender=self._me,
                receiver=to,
                run=self._run,
                attempt=attempt,
                counter=self._counter,
                time_ms=int(now * 1000),
                payload=payload,
            )
        )
        signature = self._credentials.sign_as_member(_SIGNATURE_TAG + body)
        plaintext = msgspec.msgpack.encode(_Signed(body, signature))
        nonce = self._random_bytes(keys.NONCE_BYTES)
        blob = self._credentials.seal(keys.PURPOSE_SIGNAL, plaintext, nonce)
        if len(blob) > SIGNAL_BYTES_MAX:
            raise AssertionError("the limits of a description keep a signal small")
        return Sealed(blob, _digest(body))

    def open(self, sender: MemberId, identity_key: bytes, blob: bytes, *, now: float) -> Signal:
        """Open what the server says is from `sender`, whose verified card has `identity_key`.

        Raises SignalRefused for anything but a new signal of that member to us.
        """
        signed, body = self._unseal(blob)
        if body.name_id != self._credentials.name_id:
            raise SignalRefused("group", "a signal of another group")
        if body.receiver != self._me:
            raise SignalRefused("receiver", "a signal for another member")
        if body.sender != sender or sender == self._me:
            raise SignalRefused("sender", "a signal of another member")
        # Only who holds the identity can spend its counters: the signature comes first.
        if not keys.signature_is_right(
            identity_key, _SIGNATURE_TAG + signed.body, signed.signature
        ):
            raise SignalRefused("signature", "a signal that its member did not sign")
        age_s = now - body.time_ms / 1000
        if abs(age_s) > SIGNAL_AGE_S_MAX:
            raise SignalRefused(
                "stale",
                f"a signal from {abs(age_s):.0f} s {'ago' if age_s > 0 else 'ahead'}: "
                "one of the two clocks is wrong, or the signal was held up",
            )
        self._spend_counter(sender, body, now)
        return Signal(sender, AttemptId(body.attempt), body.payload, _digest(signed.body))

    def _unseal(self, blob: bytes) -> tuple[_Signed, _Body]:
        if len(blob) > SIGNAL_BYTES_MAX:
            raise SignalRefused("size", "a signal of this size is none of ours")
        try:
            plaintext = self._credentials.open_sealed(keys.PURPOSE_SIGNAL, blob)
        except keys.CredentialError as error:
            raise SignalRefused("seal", str(error)) from None
        try:
            signed = msgspec.msgpack.decode(plaintext, type=_Signed)
            version = msgspec.msgpack.decode(signed.body, type=_Head).version
            if version != SIGNAL_VERSION:
                raise SignalRefused("version", f"a signal of version {version}, unknown here")
            body = msgspec.msgpack.decode(signed.body, type=_Body)
        except SignalRefused:
            raise
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise SignalRefused("shape", f"not a signal: {error}") from None
        if len(body.attempt) != ATTEMPT_BYTES or len(body.run) != RUN_BYTES:
            raise SignalRefused("shape", "an attempt and a run have 16 bytes each")
        return signed, body

    def _spend_counter(self, sender: MemberId, body: _Body, now: float) -> None:
        runs = self._runs.setdefault(sender, {})
        run = runs.get(body.run)
        if run is None:
            for name in [name for name, old in runs.items() if _is_over(old, now)]:
                del runs[name]
            if len(runs) >= RUNS_PER_MEMBER_MAX:
                raise SignalRefused("runs", "a member that starts anew all the time")
            run = runs[body.run] = _Run(counter=0, seen_at=now)
        if body.counter <= run.counter:
            raise SignalRefused("replay", "a signal that came before, or after a later one")
        run.counter = body.counter
        run.seen_at = max(run.seen_at, now)


def _is_over(run: _Run, now: float) -> bool:
    """Whether every signal of a run that is in anybody's hands is too old by now.

    Only time that passed counts: a clock set back keeps the run remembered for longer.
    """
    return now - run.seen_at > _RUN_MEMORY_S


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=DIGEST_BYTES, person=_DIGEST_PERSON).digest()
