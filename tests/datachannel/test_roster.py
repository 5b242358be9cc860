"""Whose picture of the group counts when it comes from a server that knows only a part."""

from __future__ import annotations

from datachannel.credentials import Credentials, seal_card
from datachannel.roster import Roster
from signaling.messages import Joined, Presence
from tests.support.members import a_member, card_of, counted_bytes

ME, ANNA, BEN = (a_member(name) for name in ("me", "anna", "ben"))


def joined(*friends: Credentials) -> Joined:
    nonce = counted_bytes("roster")
    return Joined(
        tuple(
            Presence(one.member_id, seal_card(one, card_of(one), nonce(24)), True)
            for one in friends
        ),
        (),
        created=False,
    )


def online(roster: Roster) -> dict[bytes, bool]:
    return {bytes(member): friend.online for member, friend in roster.friends.items()}


def test_what_a_server_does_not_list_is_no_more():
    roster = Roster(ME)
    roster.welcome(joined(ANNA, BEN))
    roster.welcome(joined(BEN))
    assert online(roster) == {BEN.member_id: True}


def test_who_is_not_near_is_away_and_stays_a_friend():
    roster = Roster(ME)
    roster.welcome(joined(ANNA, BEN))
    roster.welcome(joined(BEN), is_all=False)
    assert online(roster) == {ANNA.member_id: False, BEN.member_id: True}
    roster.welcome(joined(ANNA))
    assert online(roster) == {ANNA.member_id: True}
