"""Friends who go: what is heard, passed on, forgotten, and taken back when they come again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from datachannel.credentials import GOING, GONE, Credentials, seal_card
from datachannel.errors import Unavailable
from datachannel.link import PeerSession
from datachannel.roster import Farewell, Roster
from netsim.world.clock import run_here
from peer.holding.requests import HoldingHandler
from peer.holding.store import ShareStore
from peer.upkeep.partings import Partings, farewells_file, read_farewells, write_farewells
from signaling.messages import Arrived, MemberId
from tests.support.members import a_member, card_of
from tests.support.memory_link import MemoryLink
from tests.support.small_group import SmallGroup, small_group

ME, ANNA, BEN = (a_member(name) for name in ("me", "anna", "ben"))


def a_card(of: Credentials, **what: int) -> bytes:
    return seal_card(of, replace(card_of(of), **what), bytes(24))


@dataclass
class Kept:
    """What we keep for friends, as far as partings see it."""

    left: list[MemberId] = field(default_factory=list)
    seen: list[MemberId] = field(default_factory=list)

    def say_goodbye(self, owner: MemberId) -> None:
        self.left.append(owner)

    def see(self, owner: MemberId) -> None:
        self.seen.append(owner)


class Group:
    """Friends of one member, known by their real cards."""

    reached = True

    def __init__(self, me: Credentials = ME) -> None:
        self.roster = Roster(me)
        self.sessions: dict[MemberId, PeerSession] = {}

    def arrives(self, one: Credentials, **what: int) -> None:
        self.roster.take(Arrived(one.member_id, a_card(one, **what)))

    def members(self):
        return self.roster.friends

    @property
    def farewells(self) -> dict[MemberId, Farewell]:
        return dict(self.roster.farewells)

    def bid_farewell(self, member: MemberId, sealed: bytes) -> bool:
        return self.roster.bid_farewell(member, sealed)

    async def session(self, member: MemberId) -> PeerSession:
        if member not in self.sessions:
            raise Unavailable("nobody is there")
        return self.sessions[member]


@pytest.fixture
async def group_of_me(tmp_path):
    """A member whose catalog and folder are real."""
    async with small_group(tmp_path / "group", 0) as group:
        yield group


def partings(group: SmallGroup, friends: Group, kept: Kept, taken: list[MemberId]) -> Partings:
    async def take_from(leaver: MemberId) -> bool:
        taken.append(leaver)
        return len(taken) > 1

    return Partings(group.member, friends, kept, take_from)


async def test_what_somebody_who_left_had_is_lost_and_what_it_has_here_goes_and_that_once(
    group_of_me,
):
    friends, kept, taken = Group(), Kept(), []
    friends.arrives(ANNA, installed=1)
    group_of_me.member.catalog.record_placements([(1, 0, ANNA.member_id)], set())
    group_of_me.member.catalog.record_placements([(1, 1, BEN.member_id)], set())
    one = partings(group_of_me, friends, kept, taken)
    await one.look()
    assert kept.left == []
    friends.arrives(ANNA, installed=1, leaving=GONE)
    await one.look()
    await one.look()
    assert kept.left == [ANNA.member_id]
    assert list(group_of_me.member.catalog.each_placement()) == [(1, 1, BEN.member_id)]


async def test_it_is_remembered_over_a_restart_until_the_member_is_back(group_of_me):
    path = farewells_file(group_of_me.member.home)
    friends, kept = Group(), Kept()
    friends.arrives(ANNA, installed=1, leaving=GONE)
    await partings(group_of_me, friends, kept, []).look()
    again, kept_again = Group(), Kept()
    one = partings(group_of_me, again, kept_again, [])
    await one.remember()
    await one.look()
    assert list(again.farewells) == [ANNA.member_id]
    assert kept_again.left == []  # it was seen off before
    again.arrives(ANNA, installed=2)
    await one.look()
    assert read_farewells(path) == []
    assert list(again.members()) == [ANNA.member_id]


async def test_who_was_away_hears_of_a_goodbye_from_another_friend(group_of_me, tmp_path):
    knows = Group(BEN)
    knows.arrives(ANNA, installed=1, leaving=GONE)
    bens = HoldingHandler(_store(tmp_path), run_blocking=run_here)
    bens.farewells = partings(group_of_me, knows, Kept(), []).to_tell
    friends = Group()
    friends.arrives(ANNA, installed=1)
    friends.arrives(BEN)
    near, far = MemoryLink(BEN.member_id), MemoryLink(ME.member_id)
    near.other, far.other = far, near
    mine = PeerSession(near, bens, initiator=True)
    theirs = PeerSession(far, bens, initiator=False)
    friends.sessions[BEN.member_id] = mine
    tasks = [asyncio.create_task(session.run()) for session in (mine, theirs)]
    try:
        await partings(group_of_me, friends, Kept(), []).ask_around()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert list(friends.farewells) == [ANNA.member_id]
    assert list(friends.members()) == [BEN.member_id]


async def test_a_friend_who_is_leaving_is_relieved_once_and_again_after_a_failure(group_of_me):
    friends, taken = Group(), []
    friends.arrives(ANNA, installed=1, leaving=GOING)
    one = partings(group_of_me, friends, Kept(), taken)
    await one.look()
    await one.look()
    assert taken == [ANNA.member_id]
    one._handed[ANNA.member_id] = float("-inf")  # a minute later
    await one.look()
    await one.look()
    assert taken == [ANNA.member_id] * 2
    friends.arrives(ANNA, installed=1)  # it has thought better of it, and leaves after all
    await one.look()
    friends.arrives(ANNA, installed=1, leaving=GOING)
    await one.look()
    assert len(taken) == 3


@pytest.mark.parametrize("data", [b"", b"x", b"\x91\xc4\x01x"])
def test_damaged_notes_of_who_left_are_heard_again_from_friends(tmp_path: Path, data: bytes):
    path = tmp_path / "farewells"
    path.write_bytes(data)
    for member, sealed in read_farewells(path):
        assert not Roster(ME).bid_farewell(member, sealed)
    write_farewells(path, [bytes(ANNA.member_id) + a_card(ANNA, leaving=GONE)])
    ((member, sealed),) = read_farewells(path)
    assert Roster(ME).bid_farewell(member, sealed)


def _store(tmp_path: Path):
    return ShareStore(
        tmp_path / "ben",
        limit_bytes=1 << 20,
        wall_s=lambda: 1.0,
        monotonic_s=lambda: 1.0,
        free_bytes_min=0,
    )
