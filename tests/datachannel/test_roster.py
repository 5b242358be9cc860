"""Whose picture of the group counts when it comes from a server that knows only a part."""

from __future__ import annotations

from dataclasses import replace

from datachannel.credentials import GOING, GONE, Credentials, seal_card
from datachannel.roster import Roster
from signaling.messages import Arrived, Joined, Presence
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


def a_card(of: Credentials, **what: int) -> bytes:
    return seal_card(of, replace(card_of(of), **what), bytes(24))


def arrives(roster: Roster, of: Credentials, **what: int) -> None:
    roster.take(Arrived(of.member_id, a_card(of, **what)))


def test_an_old_card_never_replaces_a_newer_one():
    roster = Roster(ME)
    arrives(roster, ANNA, installed=2, offer_bytes=7)
    arrives(roster, ANNA, installed=1, offer_bytes=9)
    assert roster.friends[ANNA.member_id].card.offer_bytes == 7
    roster.welcome(Joined((Presence(ANNA.member_id, a_card(ANNA, started=5), False),), (), False))
    assert roster.friends[ANNA.member_id].card.installed == 2
    assert online(roster) == {ANNA.member_id: False}


def test_who_says_goodbye_is_no_friend_any_more_and_its_goodbye_can_be_passed_on():
    roster, other = Roster(ME), Roster(BEN)
    for one in (roster, other):
        arrives(one, ANNA, installed=1)
    arrives(roster, ANNA, installed=1, leaving=GONE)
    assert roster.friends == {}
    assert other.bid_farewell(ANNA.member_id, roster.farewells[ANNA.member_id].sealed)
    assert other.friends == {}


def test_a_goodbye_that_is_shown_again_does_not_send_away_who_came_back():
    roster = Roster(ME)
    goodbye = a_card(ANNA, installed=1, leaving=GONE)
    roster.take(Arrived(ANNA.member_id, goodbye))
    arrives(roster, ANNA, installed=1, started=9)  # from before it left
    assert roster.friends == {}
    arrives(roster, ANNA, installed=2)
    assert online(roster) == {ANNA.member_id: True}
    assert roster.farewells == {}
    roster.take(Arrived(ANNA.member_id, goodbye))
    assert not roster.bid_farewell(ANNA.member_id, goodbye)
    assert online(roster) == {ANNA.member_id: True}


def test_nobody_says_goodbye_for_somebody_else():
    roster = Roster(ME)
    arrives(roster, ANNA)
    for forged in (a_card(BEN, leaving=GONE), a_card(ANNA, leaving=GOING), b"", bytes(5000)):
        assert not roster.bid_farewell(ANNA.member_id, forged)
    assert online(roster) == {ANNA.member_id: True}
