"""What a member tells of space, from what lies on its disk and what friends have signed."""

from __future__ import annotations

from pathlib import Path

from chunking.formats import Dealing
from chunking.keys import MemberKeys
from chunking.statement import sign_statement
from peer.space.facts import LITTLE_ROOM_PARTS, space_facts, status_facts
from signaling.messages import MemberId, member_id_of
from tests.support.small_group import SmallGroup, small_group

GB = 10**9


def learn(group: SmallGroup, name: bytes, offer: int, *dealings: Dealing) -> MemberId:
    """A friend that is away, and its statement."""
    keys = MemberKeys.from_master(name * 32)
    member = member_id_of(keys.identity_public_key)
    holder = group.add_friend(200 + len(group.holders))
    group.holders[member] = group.holders.pop(holder.member)
    holder.member, holder.online, holder.card.offer_bytes = member, False, offer
    group.member.book.learn([sign_statement(keys, 3, 5, offer, dealings)], {member})
    return member


async def test_who_is_alone_hears_that(tmp_path: Path):
    async with small_group(tmp_path, 0) as group:
        told = space_facts(group.member, 5, 4)
        assert told["sentence"] == "Nobody else is in this group yet."
        assert (told["fits_bytes"], told["proposal"], told["warnings"]) == (0, None, [])
        assert status_facts(group.member, 5, 4) == ("", [])


async def test_room_credit_and_every_word_are_told(tmp_path: Path):
    async with small_group(tmp_path, 0) as group:
        own = group.owner
        group.member.offer_bytes = 50 * GB
        for name in (b"1", b"2", b"3", b"4"):
            learn(group, name, 90 * GB, Dealing(own, 7 * GB, 6 * GB))
        group.member.book.tell_own(
            group.keys,
            lambda: 5,
            50 * GB,
            tuple(Dealing(one, 8 * GB, 0) for one in sorted(group.holders)),
        )
        told = space_facts(group.member, 50 * GB, 32 * GB)
        assert told["usage_bytes"] == 28 * GB
        assert told["shown_bytes"] == 24 * GB
        assert told["credit_bytes"] == 50 * GB
        assert (told["fits_bytes"], told["bound"]) == (22 * GB * 2 // 4, "offer")
        assert told["sentence"] == (
            "You can back up 11.0 GB more; give 20.0 GB more to the group for 10.0 GB."
        )
        (line,) = (line for line in told["ledger"] if line["you"])
        assert (line["held_bytes"], line["usage_bytes"], line["counter"]) == (32 * GB, 28 * GB, 1)
        assert len(line["says"]) == 4
        assert len(told["ledger"]) == 5


async def test_what_is_not_as_it_should_be_is_said(tmp_path: Path):
    async with small_group(tmp_path, 0) as group:
        group.member.offer_bytes = 20 * GB
        for name in (b"1", b"2", b"3"):
            learn(group, name, 90 * GB, Dealing(group.owner, 7 * GB, 0))
        liar = next(iter(group.holders))
        group.member.book.two_faced.add(liar)
        _, warnings = status_facts(group.member, 20 * GB, 25 * GB)
        assert warnings[0].startswith("You take 21.0 GB of the group and give 20.0 GB.")
        assert warnings[1].startswith("Your friends have 5.0 GB more here than you give now.")
        assert warnings[2].startswith("friend 200 has told different friends different things")
        assert warnings[3].startswith("There is little room left. You can back up 0 B more")


async def test_little_room_is_said_before_there_is_none(tmp_path: Path):
    async with small_group(tmp_path, 0) as group:
        for name in (b"1", b"2", b"3"):
            learn(group, name, 90 * GB, Dealing(group.owner, 10 * GB, 0))
        group.member.offer_bytes = 31 * GB
        sentence, warnings = status_facts(group.member, 31 * GB, 0)
        assert 31 * GB - 30 * GB < 30 * GB // LITTLE_ROOM_PARTS
        assert warnings == [f"There is little room left. {sentence}"]
        group.member.offer_bytes = 80 * GB
        assert status_facts(group.member, 80 * GB, 0)[1] == []
