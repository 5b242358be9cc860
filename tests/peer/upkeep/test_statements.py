"""Usage statements among real members over links: made, told, learnt, and bounded."""

from __future__ import annotations

import asyncio
from pathlib import Path

from chunking.formats import Dealing
from chunking.keys import MemberKeys
from chunking.statement import sign_statement
from datachannel.errors import Unavailable
from datachannel.messages import Found, StatementsGet
from netsim.world.clock import run_at_once, run_here
from peer.holding.requests import HoldingHandler
from peer.space.book import StatementBook
from peer.space.fairness import Fairness
from peer.upkeep import statements
from signaling.messages import MemberId, member_id_of
from tests.support.small_group import Holder, SmallGroup, small_group


class Kept:
    """What the owner keeps for its friends."""

    def __init__(self, **held: int) -> None:
        self.held: dict[bytes, int] = {}

    def used_by_owner(self) -> dict[bytes, int]:
        return self.held


def with_book(holder: Holder, group: SmallGroup, offer: int = 10**12) -> StatementBook:
    """Give a friend the rule, and a book of its own."""
    book = StatementBook(holder.folder / "statements", holder.member)
    assert isinstance(holder.handler, HoldingHandler)
    holder.handler.fairness = Fairness(
        holder.member,
        book,
        holder.store,
        offers=lambda: {group.owner: offer},
        monotonic_s=lambda: 0.0,
    )
    return book


def keys_of(name: str) -> MemberKeys:
    return MemberKeys.from_master(name.encode().ljust(32, b"."))


async def test_what_one_friend_knows_is_learnt_and_ours_is_made(tmp_path: Path):
    async with small_group(tmp_path, 3) as group:
        carol = keys_of("carol")
        away = member_id_of(carol.identity_public_key)
        group.add_friend(7)
        group.holders[away] = group.holders.pop(MemberId(b"\x08" * 32))
        group.holders[away].member, group.holders[away].online = away, False
        first = next(iter(group.holders.values()))
        word = sign_statement(carol, 3, 1, 50, (Dealing(group.owner, 9, 0),))
        with_book(first, group).learn([word], {away})
        kept = Kept()
        kept.held = {bytes(away): 77, b"s" * 32: 5}  # a stranger's leftovers are not told
        done = await statements.exchange(group.member, kept, lambda: {first.member: 40})
        assert (done.asked, done.answered, done.news) == (3, 3, 1)
        assert group.member.book.statements()[away].counter == 3
        own = group.member.book.statements()[group.owner]
        assert own.counter == 1
        assert own.offer_bytes == group.member.offer_bytes
        assert own.dealings == tuple(
            sorted((Dealing(first.member, 0, 40), Dealing(away, 77, 0)), key=lambda d: d.member)
        )
        ledger = statements.ledger_of(group.member)
        assert ledger.usage(group.owner) == 9
        assert ledger.held(group.owner) == 77


async def test_nothing_new_to_say_is_not_said_again(tmp_path: Path):
    async with small_group(tmp_path, 1) as group:
        for _ in range(3):
            await statements.exchange(group.member, Kept(), dict)
        assert group.member.book.statements()[group.owner].counter == 1


async def test_friends_who_are_away_or_tell_nonsense_cost_nothing(tmp_path: Path):
    async with small_group(tmp_path, 3) as group:
        away, liar, _ = group.holders.values()
        away.online = False

        async def tell_nonsense(remote: MemberId, request: object, stream) -> None:
            assert isinstance(request, StatementsGet)
            await stream.send(Found(b"", 5))
            await stream.send_data(b"12345")
            await stream.finish()

        liar.handler = tell_nonsense
        done = await statements.exchange(group.member, Kept(), dict)
        assert (done.asked, done.answered, done.news) == (2, 2, 0)
        assert list(group.member.book.statements()) == [group.owner]


async def test_in_a_large_group_some_are_drawn_by_lot(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(statements, "FRIENDS_ASKED_MAX", 2)
    async with small_group(tmp_path, 5) as group:
        done = await statements.exchange(group.member, Kept(), dict)
        assert done.asked == 2


async def test_a_night_begins_by_hearing_what_friends_know(tmp_path: Path):
    files = tmp_path / "files"
    files.mkdir()
    (files / "letter").write_text("dear friend")
    async with small_group(tmp_path / "group", 3) as group:
        friend = next(iter(group.holders.values()))
        ours = sign_statement(group.keys, 41, 1, 50, ())
        with_book(friend, group).learn([ours], {group.owner})
        assert (await group.backup(files))["ok"]
        assert group.member.book.statements()[group.owner].counter == 41


async def test_who_is_refused_more_than_it_may_take_is_told_so_and_what_to_do(
    tmp_path: Path, monkeypatch
):
    """Friends had said that there is room, and heard of what is elsewhere after that."""
    monkeypatch.setattr(Fairness, "left", lambda self, owner: 10**12)
    files = tmp_path / "files"
    files.mkdir()
    (files / "film").write_bytes(bytes(range(256)) * 8000)
    async with small_group(tmp_path / "group", 3) as group:
        for holder in group.holders.values():
            with_book(holder, group, offer=10)
        result = await group.backup(files)
        assert not result["ok"]
        assert "you take" in result["next_step"]
        assert "covey space --give" in result["next_step"]
        assert not any(holder.share_files() for holder in group.holders.values())
        for holder in group.holders.values():
            with_book(holder, group, offer=10**9)
        assert (await group.backup())["ok"]


def test_who_has_no_nights_still_tells_what_it_keeps_and_asks_once_a_day(tmp_path: Path):
    asked: list[float] = []
    kept = Kept()

    async def live_for_two_days() -> None:
        loop = asyncio.get_running_loop()
        async with small_group(tmp_path, 1, timeout_s=10 * 86_400) as group:
            (friend,) = group.holders
            group.member.run_blocking = run_here

            async def session(member: MemberId) -> None:
                asked.append(loop.time())
                raise Unavailable("not today")

            group.session = session  # type: ignore[method-assign, assignment]
            telling = asyncio.create_task(statements.keep_telling(group.member, kept, dict))
            await asyncio.sleep(2 * 3600)
            assert group.member.book.statements()[group.owner].dealings == ()
            kept.held = {bytes(friend): 77}
            await asyncio.sleep(48 * 3600)
            telling.cancel()
            own = group.member.book.statements()[group.owner]
            assert (own.counter, own.dealings) == (2, (Dealing(bytes(friend), 77, 0),))

    run_at_once(live_for_two_days())
    assert asked == [24 * 3600, 48 * 3600]
