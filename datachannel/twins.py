"""Two computers with the same recovery words: which of them goes on.

Both are the same member to everybody, so they would write over each other's root records. The
server shows a member who joins the last card of that member, and one who is replaced the card of
who came. A card is signed by the member itself, so only a real twin stops anybody, whatever the
server says; and cards have an order, so that exactly one of two stops: the one that was installed
earlier or, of a copied folder, started earlier.

Pure.
"""

from __future__ import annotations

from datachannel.credentials import CredentialError, Credentials, MemberCard, open_card


def twin_of(credentials: Credentials, sealed: bytes) -> MemberCard | None:
    """The card of this very member that the server shows; None when it is none."""
    if not sealed:
        return None
    try:
        return open_card(credentials, credentials.member_id, sealed)
    except CredentialError:
        return None


def newer_twin(credentials: Credentials, mine: MemberCard, sealed: bytes) -> MemberCard | None:
    """The same, if it is of a computer to which this one has to give way."""
    twin = twin_of(credentials, sealed)
    return twin if twin is not None and twin.order > mine.order else None
