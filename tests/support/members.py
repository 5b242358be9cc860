"""Members for tests: credentials from small numbers, and a source of repeatable randomness."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from datachannel.credentials import Credentials, MemberCard


def seed(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=32).digest()


def a_member(name: str, *, group: str = "the smiths", password: str = "right") -> Credentials:
    """The member `name` of a group, as it would come from a password and from words."""
    return Credentials(
        name_id=seed(f"name {group}"),
        group_seed=seed(f"seed {group} {password}"),
        box_key=seed(f"box {group} {password}"),
        identity_seed=seed(f"member {name}"),
    )


def two_members(**changes: str) -> tuple[Credentials, Credentials]:
    """Two members, the one with the lower id first."""
    low, high = sorted(
        (a_member("anna", **changes), a_member("ben", **changes)), key=lambda one: one.member_id
    )
    return low, high


def card_of(credentials: Credentials, name: str = "a friend") -> MemberCard:
    return MemberCard(credentials.identity_public_key, name, 10**10, "0.1")


def counted_bytes(salt: str = "") -> Callable[[int], bytes]:
    """A source of bytes that never repeats and is the same in every run."""
    count = 0

    def random_bytes(size: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_128(f"{salt}{count}".encode()).digest(size)

    return random_bytes
