"""What a member signs and seals with, and the card by which its friends know it.

The group's keys say "I know the password"; the identity says "I am this member". A card is
sealed with the group's key, so that the server reads no names, and signed by its member, so
that neither the server nor another member can make one up. Every seal has a key of its own,
derived from the group's box key and a purpose: what was sealed as a card never opens as a
signal.

A server may still hand out an old card of a member. Nothing in a card is a secret or grants
anything, and cards have an order (`MemberCard.order`), so that an old one never replaces a newer
one that is known.

Not here: how the keys come from a password or from words (chunking.keys), storing them (peer).
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from dataclasses import dataclass, field

import msgspec
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox
from nacl.signing import SigningKey, VerifyKey

from signaling.messages import MemberId, member_id_of

KEY_BYTES = 32
SEED_BYTES = 32
NONCE_BYTES = SecretBox.NONCE_SIZE  # 24
SIGNATURE_BYTES = 64
MAC_BYTES = 32

CARD_VERSION = 1
NAME_CHARS_MAX = 64  # a person's name for a computer; more does not fit a line of a table
VERSION_CHARS_MAX = 32
SEALED_CARD_BYTES_MAX = 4096  # the server's limit
OFFER_BYTES_MAX = 1 << 60
NUMBER_MAX = 2**63 - 1

STAYS, GOING, GONE = 0, 1, 2
"""What a card says of leaving: not at all; the member hands over what it holds; goodbye."""

# A purpose is the `person` of BLAKE2b: at most 16 bytes, and never used for two things.
PURPOSE_CARD = b"covey card v1"
PURPOSE_SIGNAL = b"covey signal v1"
PURPOSE_CHANNEL = b"covey channel v1"

_CARD_TAG = b"covey member card signature v1\0"


class CredentialError(ValueError):
    """A card, a signature or a seal is not what it claims to be."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """One member's place in one group. Its repr shows no secret."""

    name_id: bytes
    group_seed: bytes = field(repr=False)
    box_key: bytes = field(repr=False)
    identity_seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        for what, value in (
            ("a group's name id", self.name_id),
            ("a group's seed", self.group_seed),
            ("a box key", self.box_key),
            ("an identity's seed", self.identity_seed),
        ):
            if len(value) != KEY_BYTES:
                raise ValueError(f"{what} has {KEY_BYTES} bytes, not {len(value)}")

    @property
    def group_public_key(self) -> bytes:
        return bytes(SigningKey(self.group_seed).verify_key)

    @property
    def identity_public_key(self) -> bytes:
        return bytes(SigningKey(self.identity_seed).verify_key)

    @property
    def member_id(self) -> MemberId:
        return member_id_of(self.identity_public_key)

    def sign_as_group(self, message: bytes) -> bytes:
        """64 bytes that only who knows the password can make. `message` starts with a tag."""
        return SigningKey(self.group_seed).sign(message).signature

    def sign_as_member(self, message: bytes) -> bytes:
        """64 bytes that only this member can make. `message` starts with a tag."""
        return SigningKey(self.identity_seed).sign(message).signature

    def seal(self, purpose: bytes, plaintext: bytes, nonce: bytes) -> bytes:
        """Seal for the group: the nonce, then the ciphertext. A nonce is used once."""
        return bytes(SecretBox(self._purpose_key(purpose)).encrypt(plaintext, nonce))

    def open_sealed(self, purpose: bytes, sealed: bytes) -> bytes:
        """The way back. Raises CredentialError for what the group did not seal for `purpose`."""
        try:
            return SecretBox(self._purpose_key(purpose)).decrypt(sealed)
        except (CryptoError, ValueError):
            raise CredentialError("not sealed by this group for this purpose") from None

    def mac(self, purpose: bytes, message: bytes) -> bytes:
        """32 bytes that every member of the group can make, and nobody else."""
        return hashlib.blake2b(
            message, digest_size=MAC_BYTES, key=self._purpose_key(purpose)
        ).digest()

    def mac_is_right(self, purpose: bytes, message: bytes, mac: bytes) -> bool:
        return hmac.compare_digest(self.mac(purpose, message), mac)

    def _purpose_key(self, purpose: bytes) -> bytes:
        return hashlib.blake2b(
            b"", digest_size=KEY_BYTES, key=self.box_key, person=purpose
        ).digest()


def signature_is_right(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the holder of `public_key` signed exactly `message`. Takes any bytes."""
    if len(public_key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        VerifyKey(public_key).verify(message, signature)
    except (CryptoError, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class MemberCard:
    """What a member tells its friends about itself.

    `installed` and `started` tell computers apart that have the same recovery words: numbers that
    rise with each installation (joining, recovering, taking over) and with each start of one.
    """

    identity_key: bytes
    name: str
    offer_bytes: int
    version: str
    installed: int = 0
    started: int = 0
    leaving: int = STAYS

    def __post_init__(self) -> None:
        if len(self.identity_key) != KEY_BYTES:
            raise ValueError(f"an identity key has {KEY_BYTES} bytes")
        # Names end up in terminals and in windows: no control character, no change of direction.
        for what, text, chars_max in (
            ("a member's name", self.name, NAME_CHARS_MAX),
            ("a version", self.version, VERSION_CHARS_MAX),
        ):
            if not 0 < len(text) <= chars_max:
                raise ValueError(f"{what} has 1 to {chars_max} characters")
            if any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in text):
                raise ValueError(f"{what} has no control characters")
        if not 0 <= self.offer_bytes <= OFFER_BYTES_MAX:
            raise ValueError("an offer of space is not negative, and not more than an exbibyte")
        if not (0 <= self.installed <= NUMBER_MAX and 0 <= self.started <= NUMBER_MAX):
            raise ValueError("the number of an installation is out of range")
        if self.leaving not in (STAYS, GOING, GONE):
            raise ValueError("a member stays, is going, or is gone")

    @property
    def order(self) -> tuple[int, int]:
        """Of two cards of a member, the one with the higher order is the newer computer's."""
        return self.installed, self.started

    @property
    def member_id(self) -> MemberId:
        return member_id_of(self.identity_key)


class _CardBody(msgspec.Struct, frozen=True, array_like=True):
    version: int  # first, and never moved: a later version may add fields behind
    identity_key: bytes
    name: str
    offer_bytes: int
    program: str
    installed: int = 0
    started: int = 0
    leaving: int = STAYS


class _Versioned(msgspec.Struct, frozen=True, array_like=True):
    """The beginning of a card's body, whatever its version."""

    version: int


class _SignedCard(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    body: bytes
    signature: bytes


def _card_transcript(name_id: bytes, body: bytes) -> bytes:
    # The group is part of it: a card is no card in another group of the same member.
    return _CARD_TAG + name_id + body


def seal_card(credentials: Credentials, card: MemberCard, nonce: bytes) -> bytes:
    """The card, signed by its member and sealed for the group."""
    if card.identity_key != credentials.identity_public_key:
        raise ValueError("a member seals its own card only")
    body = msgspec.msgpack.encode(
        _CardBody(
            CARD_VERSION,
            card.identity_key,
            card.name,
            card.offer_bytes,
            card.version,
            card.installed,
            card.started,
            card.leaving,
        )
    )
    signature = credentials.sign_as_member(_card_transcript(credentials.name_id, body))
    sealed = credentials.seal(
        PURPOSE_CARD, msgspec.msgpack.encode(_SignedCard(body, signature)), nonce
    )
    if open_card(credentials, card.member_id, sealed) != card:
        raise AssertionError("a sealed card does not open as itself")
    return sealed


def open_card(credentials: Credentials, member: MemberId, sealed: bytes) -> MemberCard:
    """The card of `member`. Raises CredentialError for anything else, whatever it is."""
    if len(sealed) > SEALED_CARD_BYTES_MAX:
        raise CredentialError("a card of this size is none of ours")
    plaintext = credentials.open_sealed(PURPOSE_CARD, sealed)
    try:
        signed = msgspec.msgpack.decode(plaintext, type=_SignedCard)
        version = msgspec.msgpack.decode(signed.body, type=_Versioned).version
        if version != CARD_VERSION:
            raise CredentialError(f"a card of version {version}, which this program is too old for")
        body = msgspec.msgpack.decode(signed.body, type=_CardBody)
        card = MemberCard(
            body.identity_key,
            body.name,
            body.offer_bytes,
            body.program,
            body.installed,
            body.started,
            body.leaving,
        )
    except CredentialError:
        raise
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise CredentialError(f"not a member's card: {error}") from None
    if card.member_id != member:
        raise CredentialError("the card of another member")
    transcript = _card_transcript(credentials.name_id, signed.body)
    if not signature_is_right(card.identity_key, transcript, signed.signature):
        raise CredentialError("the card is not signed by its member")
    return card
