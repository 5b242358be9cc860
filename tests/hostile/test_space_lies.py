"""Members who lie about space, over real links: what they say is heard, and does little."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chunking.formats import Dealing
from chunking.keys import MemberKeys
from chunking.statement import sign_statement
from datachannel.errors import Refusal
from datachannel.link import Stream
from datachannel.messages import Found, StatementsGet, join_statements
from datachannel.requests import get_statements, put_share, query_space
from peer.holding.requests import HoldingHandler
from peer.space.book import StatementBook
from peer.space.fairness import Fairness
from peer.upkeep import statements
from signaling.messages import MemberId, member_id_of
from tests.support.small_group import Holder, SmallGroup, small_group

GB = 10**9


class Nothing:
    """Nothing is kept for others here."""

    def used_by_owner(self) -> dict[bytes, int]:
        return {}


def id_of(keys: MemberKeys) -> MemberId:
    return member_id_of(keys.identity_public_key)


SAID: dict[MemberId, tuple[bytes, ...]] = {}


def friend_with_keys(group: SmallGroup, number: int) -> MemberKeys:
    """A friend that can sign, since its id is that of its keys; it tells what `tells` said last."""
    keys = MemberKeys.from_master(bytes([100 + number]) * 32)
    holder = group.add_friend(number)
    del group.holders[holder.member]
    holder.member = id_of(keys)
    group.holders[holder.member] = holder
    SAID[holder.member] = ()
    honest = holder.handler

    async def tell(remote: MemberId, request: object, stream: Stream) -> None:
        if not isinstance(request, StatementsGet):
            await honest(remote, request, stream)  # type: ignore[arg-type]
            return
        body = join_statements(SAID[holder.member])
        await stream.send(Found(b"", len(body)))
        if body:
            await stream.send_data(body)
        await stream.finish()

    holder.handler = tell
    return keys


def tells(holder: Holder, *said: bytes) -> None:
    """Have a friend tell these as the statements that it knows."""
    SAID[holder.member] = said


async def heard(group: SmallGroup) -> int:
    return (await statements.exchange(group.member, Nothing(), dict)).news


async def test_a_holder_that_claims_everything_cannot_block_who_has_stored_nothing(tmp_path: Path):
    async with small_group(tmp_path, 0) as group:
        liar, witness = (friend_with_keys(group, number) for number in range(2))
        lie = sign_statement(liar, 1, 1, GB, (Dealing(group.owner, 10**15, 0),))
        tells(group.holders[id_of(liar)], lie)
        tells(group.holders[id_of(witness)], sign_statement(witness, 1, 1, GB, ()))
        assert await heard(group) == 2
        assert statements.own_account(group.member).usage_bytes == 0


async def test_who_praises_itself_gets_no_credit(tmp_path: Path):
    async with small_group(tmp_path, 0) as group:
        braggart = friend_with_keys(group, 0)
        itself = (Dealing(id_of(braggart), 10**15, 10**15),)
        tells(group.holders[id_of(braggart)], sign_statement(braggart, 1, 1, 10**15, itself))
        await heard(group)
        account = statements.ledger_of(group.member).account(id_of(braggart))
        assert (account.held_bytes, account.usage_bytes, account.shown_bytes) == (0, 0, 0)


async def test_a_replayed_statement_does_not_bring_back_old_figures(tmp_path: Path):
    async with small_group(tmp_path, 0) as group:
        friend, replayer = (friend_with_keys(group, number) for number in range(2))
        old = sign_statement(friend, 1, 1, 5, (Dealing(group.owner, 99, 0),))
        tells(group.holders[id_of(friend)], sign_statement(friend, 2, 1, 7, ()))
        await heard(group)
        tells(group.holders[id_of(replayer)], old)
        assert await heard(group) == 0
        assert group.member.book.statements()[id_of(friend)].counter == 2


@pytest.mark.parametrize("where", [0, 41, 60, -1])
async def test_a_forged_statement_is_believed_by_nobody(tmp_path: Path, where: int):
    async with small_group(tmp_path, 0) as group:
        victim, forger = (friend_with_keys(group, number) for number in range(2))
        forged = bytearray(sign_statement(victim, 9, 1, 5, (Dealing(group.owner, 99, 0),)))
        forged[where] ^= 1
        tells(group.holders[id_of(forger)], bytes(forged))
        assert await heard(group) == 0
        assert id_of(victim) not in group.member.book.statements()


async def test_a_statement_of_somebody_outside_the_group_has_no_effect(tmp_path: Path):
    async with small_group(tmp_path, 0) as group:
        friend = friend_with_keys(group, 0)
        stranger = MemberKeys.from_master(b"s" * 32)
        word = sign_statement(stranger, 9, 1, 5, (Dealing(group.owner, 99, 0),))
        tells(group.holders[id_of(friend)], word)
        assert await heard(group) == 0
        assert statements.ledger_of(group.member).usage(group.owner) == 0


async def test_who_tells_two_things_is_found_out(tmp_path: Path):
    async with small_group(tmp_path, 0) as group:
        liar, other = (friend_with_keys(group, number) for number in range(2))
        tells(group.holders[id_of(liar)], sign_statement(liar, 1, 1, 5, ()))
        await heard(group)
        tells(group.holders[id_of(other)], sign_statement(liar, 1, 1, 10**15, ()))
        await heard(group)
        assert group.member.book.two_faced == {id_of(liar)}
        assert statements.ledger_of(group.member).account(id_of(liar)).credit_bytes <= 2**30


async def test_a_greedy_owner_gets_what_it_gives_from_each_friend_and_no_more(tmp_path: Path):
    """It asks by itself, whatever a well-behaved shipper would do."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "film").write_bytes(os.urandom(400_000))
    async with small_group(tmp_path / "group", 3) as group:
        books = []
        for holder in group.holders.values():
            book = StatementBook(holder.folder / "statements", holder.member)
            books.append(book)
            assert isinstance(holder.handler, HoldingHandler)
            holder.handler.fairness = Fairness(
                holder.member,
                book,
                holder.store,
                offers=lambda: {group.owner: 2_000_000},
                monotonic_s=lambda: 0.0,
            )
        assert (await group.backup(files))["ok"]
        holder = next(iter(group.holders.values()))
        session = await group.session(holder.member)
        left = (await query_space(session)).free_for_you_bytes
        root = len(holder.store.get_root(group.owner) or b"")
        assert left - root <= 2_000_000 - holder.store.used_by(group.owner)
        assert await get_statements(session) == []
        (files / "film").write_bytes(os.urandom(4_000_000))
        group.member.offer_bytes = 10**12  # it says that it gives more than its card does
        for friend in group.holders.values():
            assert isinstance(friend.handler, HoldingHandler)
            fair = friend.handler.fairness
            assert fair is not None
            fair.left = lambda owner: 10**12  # type: ignore[method-assign]
        night = await group.backup()
        assert not night["ok"]
        assert "you take" in night["next_step"]
        for friend in group.holders.values():
            root = len(friend.store.get_root(group.owner) or b"")
            assert friend.store.used_by(group.owner) - root <= 2_000_000
        assert (await group.restore(tmp_path / "back"))["ok"]  # nothing that was there is lost


async def test_a_refusal_for_greed_is_one_that_a_member_understands(tmp_path: Path):
    async with small_group(tmp_path, 1) as group:
        holder = next(iter(group.holders.values()))
        book = StatementBook(holder.folder / "statements", holder.member)
        assert isinstance(holder.handler, HoldingHandler)
        holder.handler.fairness = Fairness(
            holder.member, book, holder.store, offers=dict, monotonic_s=lambda: 0.0
        )

        async def read(offset: int, size: int) -> bytes:
            raise AssertionError("nothing is to be sent")

        with pytest.raises(Refusal) as caught:
            await put_share(await group.session(holder.member), b"n" * 32, b"h", 10, read)
        assert caught.value.code == "over_offer"
        assert caught.value.text == "you take 0 B of the group and give 0 B"
