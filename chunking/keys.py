"""From a group's name and password to the group's keys; from the recovery words to a member's.

A group's keys admit and nothing more: they sign in at the server and seal what passes through
it. Content is protected by the member's own master key alone, so who guesses the password can
join and take space, and reads nothing.

Not here: the words themselves (peer), and any storage of secrets.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass, field

from nacl.bindings import (
    crypto_pwhash_alg,
    crypto_pwhash_ALG_ARGON2ID13,
    crypto_pwhash_argon2id_MEMLIMIT_MODERATE,
    crypto_pwhash_argon2id_OPSLIMIT_MODERATE,
    crypto_sign_seed_keypair,
)

from chunking import formats, hashing

GROUP_NAME_CHARS_MAX = 128
PASSWORD_BYTES_MAX = 4096
_SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class GroupSecrets:
    """What everyone in a group has in common."""

    name_id: bytes
    signing_seed: bytes = field(repr=False)
    box_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MemberKeys:
    """One member's own keys, one for each purpose."""

    identity_public_key: bytes
    identity_seed: bytes = field(repr=False)
    chunk_id_key: bytes = field(repr=False)
    content_key: bytes = field(repr=False)
    root_key: bytes = field(repr=False)

    @classmethod
    def from_master(cls, master: bytes) -> MemberKeys:
        """The keys of the member whose recovery words stand for `master` (32 bytes)."""
        if len(master) != formats.KEY_BYTES:
            raise ValueError(f"a master key has {formats.KEY_BYTES} bytes, not {len(master)}")
        seed = hashing.derive_key(master, formats.KEY_IDENTITY)
        return cls(
            identity_public_key=crypto_sign_seed_keypair(seed)[0],
            identity_seed=seed,
            chunk_id_key=hashing.derive_key(master, formats.KEY_CHUNK_IDS),
            content_key=hashing.derive_key(master, formats.KEY_CONTENT),
            root_key=hashing.derive_key(master, formats.KEY_ROOT),
        )


def normalise_group_name(name: str) -> str:
    """The form in which two spellings of a group's name are the same name.

    Raises ValueError, in words for a person, when no name is left or it is too long.
    """
    # Folding case can take a text out of NFKC (U+0345 does), hence the second time.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    normal = " ".join(folded.split())
    if not normal:
        raise ValueError("the group needs a name")
    if len(normal) > GROUP_NAME_CHARS_MAX:
        raise ValueError(f"a group's name has at most {GROUP_NAME_CHARS_MAX} characters")
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in normal):
        raise ValueError("a group's name has no control characters")
    return normal


def name_id_of(name: str) -> bytes:
    """What the server knows a group by, instead of its name."""
    return hashing.Hasher(formats.HASH_GROUP_NAME)(normalise_group_name(name).encode())


def derive_group(name: str, password: str) -> GroupSecrets:
    """The group's keys. Takes a good half second and 256 MiB, on purpose: Argon2id, MODERATE.

    Raises ValueError, in words for a person, for a name or password that cannot be one.
    """
    normal = normalise_group_name(name)
    try:
        # NFC, since one system types an accented letter as one character and another as two.
        secret = unicodedata.normalize("NFC", password).encode()
    except UnicodeEncodeError:
        raise ValueError("the password has characters that are no text") from None
    if not secret:
        raise ValueError("the group needs a password")
    if len(secret) > PASSWORD_BYTES_MAX:
        raise ValueError(f"a password has at most {PASSWORD_BYTES_MAX} bytes")
    salt = hashlib.blake2b(
        normal.encode(), digest_size=_SALT_BYTES, person=formats.HASH_GROUP_SALT
    ).digest()
    stretched = crypto_pwhash_alg(
        2 * formats.KEY_BYTES,
        secret,
        salt,
        crypto_pwhash_argon2id_OPSLIMIT_MODERATE,
        crypto_pwhash_argon2id_MEMLIMIT_MODERATE,
        crypto_pwhash_ALG_ARGON2ID13,
    )
    return GroupSecrets(
        name_id=name_id_of(normal),
        signing_seed=stretched[: formats.KEY_BYTES],
        box_key=stretched[formats.KEY_BYTES :],
    )
