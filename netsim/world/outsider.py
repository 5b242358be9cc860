"""Somebody who knows the group's name, its members and its server, and not its password.

What arrives at a member from there is met by the code that meets it in reality: sealed signals, and
the handshake that begins each channel. Nothing of it may ever be believed, even if the server were
to tell the stranger's identity key for a member's.
"""

from __future__ import annotations

import random

from chunking.keys import MemberKeys
from datachannel.credentials import Credentials
from datachannel.handshake import NONCE_BYTES, Handshake, HandshakeRefused
from datachannel.signals import (
    ATTEMPT_BYTES,
    FINGERPRINT_BYTES,
    AttemptId,
    PleaseCall,
    SignalBox,
    SignalRefused,
)

NAME_ID = b"n" * 32
GROUP_SEED, BOX_KEY = b"s" * 32, b"b" * 32
"""What the password gives; the same in every world."""


def member_of_group(keys: MemberKeys) -> Credentials:
    """What a member has."""
    return Credentials(NAME_ID, GROUP_SEED, BOX_KEY, keys.identity_seed)


def stranger(chance: random.Random) -> Credentials:
    """Somebody who guessed a password, and guessed wrong."""
    identity = MemberKeys.from_master(chance.randbytes(32)).identity_seed
    return Credentials(NAME_ID, chance.randbytes(32), chance.randbytes(32), identity)


def believed(caller: Credentials, victim: Credentials, chance: random.Random) -> list[str]:
    """What a member believes of what a caller tries on it: nothing, when it is a stranger."""
    attempt = AttemptId(chance.randbytes(ATTEMPT_BYTES))
    found = []
    if _believes_signal(caller, victim, attempt, chance):
        found.append("a signal")
    if _believes_channel(caller, victim, attempt, chance):
        found.append("a handshake")
    return found


def _believes_signal(
    caller: Credentials, victim: Credentials, attempt: AttemptId, chance: random.Random
) -> bool:
    sealed = SignalBox(caller, random_bytes=chance.randbytes).seal(
        victim.member_id, attempt, PleaseCall(), now=0
    )
    box = SignalBox(victim, random_bytes=chance.randbytes)
    try:
        box.open(caller.member_id, caller.identity_public_key, sealed.blob, now=0)
    except SignalRefused:
        return False
    return True


def _believes_channel(
    caller: Credentials, victim: Credentials, attempt: AttemptId, chance: random.Random
) -> bool:
    prints = chance.randbytes(FINGERPRINT_BYTES), chance.randbytes(FINGERPRINT_BYTES)
    calling = Handshake(
        caller,
        remote=victim.member_id,
        attempt=attempt,
        role="offerer",
        local_fingerprint=prints[0],
        remote_fingerprint=prints[1],
        nonce=chance.randbytes(NONCE_BYTES),
    )
    called = Handshake(
        victim,
        remote=caller.member_id,
        attempt=attempt,
        role="answerer",
        local_fingerprint=prints[1],
        remote_fingerprint=prints[0],
        nonce=chance.randbytes(NONCE_BYTES),
    )
    try:
        called.receive(calling.hello())
        proof = calling.receive(called.hello())
        assert proof is not None
        called.receive(proof)
    except HandshakeRefused:
        return False
    return called.done
