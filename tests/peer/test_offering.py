"""What is told of friends, and how the space that is given changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from datachannel.requests import query_space
from peer.acquaintance import COLUMNS_MAX, Acquaintance, spread
from peer.offering import Offering
from peer.service import Problem
from peer.space.telling import surplus_sentence
from peer.upkeep.absence import note_absences
from peer.upkeep.presence import SAMPLE_S, note_presence
from signaling.messages import MemberId
from tests.support.small_group import SmallGroup, small_group

GB = 10**9


class Shelf:
    """A store with 100 GB of disk, of which 10 are used."""

    limit_bytes = 50 * GB
    used_bytes = 10 * GB

    def room_bytes(self) -> int:
        return 90 * GB

    def used_by_owner(self) -> Mapping[bytes, int]:
        return {}

    def shrink(self) -> None:
        pass


class Told:
    def __init__(self) -> None:
        self.kept: list[int] = []
        self.announced: list[int] = []

    async def announce(self, offer_bytes: int) -> None:
        self.announced.append(offer_bytes)


@pytest.fixture
async def group(tmp_path) -> AsyncIterator[SmallGroup]:
    async with small_group(tmp_path, 3) as group:
        yield group


async def test_a_new_offer_is_kept_obeyed_and_told(group: SmallGroup):
    shelf, told = Shelf(), Told()
    offering = Offering(group.member, shelf, keep=told.kept.append, announce=told.announce)
    await offering.give(80 * GB)
    assert (shelf.limit_bytes, group.member.offer_bytes) == (80 * GB, 80 * GB)
    assert (told.kept, told.announced) == ([80 * GB], [80 * GB])


@pytest.mark.parametrize(("offer", "code"), [(GB // 2, "too_little"), (101 * GB, "disk_full")])
async def test_an_offer_that_cannot_be_is_refused(group: SmallGroup, offer: int, code: str):
    shelf, told = Shelf(), Told()
    offering = Offering(group.member, shelf, keep=told.kept.append, announce=told.announce)
    with pytest.raises(Problem) as refused:
        await offering.give(offer)
    assert refused.value.code == code
    assert (shelf.limit_bytes, told.kept, told.announced) == (50 * GB, [], [])


async def test_giving_less_is_possible_on_a_full_disk(group: SmallGroup):
    shelf, told = Shelf(), Told()
    shelf.room_bytes = lambda: 0  # type: ignore[method-assign]
    offering = Offering(group.member, shelf, keep=told.kept.append, announce=told.announce)
    await offering.give(20 * GB)
    assert shelf.limit_bytes == 20 * GB


async def test_giving_less_than_is_kept_lets_go_of_deleted_shares_and_of_nothing_else(
    group: SmallGroup, tmp_path: Path
):
    """Owners hear of the surplus and move it; when they have, it is within the offer again."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "film").write_bytes(bytes(range(256)) * 8000)
    assert (await group.backup(files))["ok"]
    holder = next(iter(group.holders.values()))
    names = [bytes.fromhex(path.name) for path in holder.share_files()]
    holder.store.delete(group.owner, tuple(names[:1]))
    kept = holder.store.used_by(group.owner)
    told = Told()
    offering = Offering(group.member, holder.store, keep=told.kept.append, announce=told.announce)
    holder.store.limit_bytes = 2 * GB
    holder.store.room_bytes = lambda: 90 * GB  # type: ignore[method-assign]
    await offering.give(GB)
    holder.store.limit_bytes = kept // 2  # less than a person may give, so that the test is short
    holder.store.shrink()
    assert holder.store.used_bytes == holder.store.used_by(group.owner) == kept
    answer = await query_space(await group.session(holder.member))
    assert answer.offer_bytes < answer.used_bytes
    assert answer.free_for_you_bytes == 0
    assert "move it to others" in surplus_sentence(answer.offer_bytes, answer.used_bytes)
    holder.store.delete(group.owner, tuple(names[1:]))
    holder.store.shrink()
    assert holder.store.used_bytes <= holder.store.limit_bytes


async def test_each_friend_has_when_it_was_seen_and_how_much_it_uses(group: SmallGroup):
    member = group.member
    friends = sorted(member.friends.members())
    first, now_s = friends[0], member.wall_clock() / GB
    for sample in range(110):
        then = now_s - (200 - sample) * SAMPLE_S
        note_presence(member.catalog, then, [first], friends)
    shelf = Shelf()
    shelf.used_by_owner = lambda: {bytes(first): 7}  # type: ignore[method-assign]
    told = {one["member"]: one for one in await Acquaintance(member, shelf).friends([])}
    assert told[first.hex()]["held_bytes"] == 7
    assert told[first.hex()]["uptime"] > 0.5
    assert told[friends[1].hex()]["held_bytes"] == 0
    assert told[friends[1].hex()]["uptime"] < 0.5


async def test_who_is_away_and_what_happens_when_is_told(group: SmallGroup):
    member = group.member
    first, second, third = sorted(member.friends.members())
    at = member.wall_clock() / GB
    for sample in range(3 * 96 + 8):  # three days and two hours
        online = [first] if sample < 96 else []
        online += [second] if sample < 250 else []
        note_absences(member.catalog, at + sample * SAMPLE_S, online, [first, second, third])
    told = {one["member"]: one for one in await Acquaintance(member, Shelf()).friends([])}
    assert told[first.hex()]["note"] == (
        "has been away for 2 days; after 3 days what it keeps for you is made anew with others."
    )
    assert told[second.hex()]["note"] == ""
    assert told[third.hex()]["gone"]
    assert told[third.hex()]["note"].startswith("was away for 3 days and counts as gone")


def test_the_matrix_counts_each_share_once():
    ann, ben, gone = (MemberId(bytes([letter]) * 32) for letter in b"abg")
    placed = [(3, 0, ann), (3, 1, ben), (7, 0, ann), (7, 1, gone), (9, 0, ben)]
    assert spread(placed, [ann, ben]) == (3, [[1, 1, 0], [1, 0, 1]])
    assert spread([], [ann]) == (0, [[]])


def test_a_large_matrix_is_drawn_together():
    ann = MemberId(bytes(32))
    packs, rows = spread([(pack, 0, ann) for pack in range(1000)], [ann])
    assert (packs, len(rows[0]), sum(rows[0])) == (1000, COLUMNS_MAX, 1000)
    assert set(rows[0]) == {5}
