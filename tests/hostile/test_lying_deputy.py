"""Who may act for an absent owner, and what a dishonest deputy, holder or owner comes to."""

from __future__ import annotations

import msgspec
import pytest

from chunking.duty import sign_duty
from chunking.formats import PackRef
from chunking.keys import MemberKeys
from chunking.share import Share, make_shares
from datachannel.errors import ProtocolError, Refusal
from datachannel.messages import ForOwner, Found, Get, decode_request
from datachannel.requests import ask_lease, get_duty, get_share, list_shares, put_duty, put_share
from tests.support.absent_owner import GRACE_DAYS, NEEDED, Friend, World, absent_owner

STRANGER = MemberKeys.from_master(b"stranger".ljust(32))


async def asked(world: World, deputy: Friend, holder: Friend, counter: int = 1) -> int:
    return await ask_lease(await deputy.session(holder.member), world.owner, counter)


async def put_for(world: World, deputy: Friend, holder: Friend, share: Share) -> None:
    async def read(offset: int, size: int) -> bytes:
        return share.payload[offset : offset + size]

    session = await deputy.session(holder.member)
    size = len(share.payload)
    await put_share(session, share.name, share.header, size, read, owner=world.owner)


async def names_for(world: World, deputy: Friend, holder: Friend) -> set[bytes]:
    session = await deputy.session(holder.member)
    return {item.name async for item in list_shares(session, owner=world.owner)}


async def read_for(world: World, deputy: Friend, holder: Friend, name: bytes) -> bytes:
    session = await deputy.session(holder.member)
    async with get_share(session, name, owner=world.owner) as (_, body):
        return b"".join([data async for data in body])


async def test_who_is_not_in_the_duty_gets_no_lease_and_sees_and_puts_nothing(tmp_path):
    async with absent_owner(tmp_path, 4) as world:
        first, second, *_ = world.everybody
        outsider = world.everybody[3]
        world.give_duty(world.duty(deputies=world.everybody[:3]))
        world.pass_days(10 * GRACE_DAYS)
        share = world.shares[0][1]
        for attempt in (
            asked(world, outsider, first),
            names_for(world, outsider, first),
            read_for(world, outsider, second, share.name),
            put_for(world, outsider, first, share),
        ):
            with pytest.raises(Refusal) as refused:
                await attempt
            assert refused.value.code == "not_due"
        with pytest.raises(Refusal):
            await get_duty(await outsider.session(first.member), world.owner)
        assert (await outsider.act()).owners == 0


async def test_a_deputy_does_nothing_without_the_lease_of_the_very_holder(tmp_path):
    async with absent_owner(tmp_path, 4) as world:
        world.give_duty(world.duty())
        first, second, third, _ = world.everybody
        world.pass_days(GRACE_DAYS + 5)
        assert await asked(world, first, second) > 0
        assert await names_for(world, first, second) == second.names()
        for attempt in (names_for(world, first, third), names_for(world, third, second)):
            with pytest.raises(Refusal) as refused:
                await attempt
            assert refused.value.code == "not_due"
        with pytest.raises(Refusal) as refused:
            await asked(world, third, second)
        assert refused.value.code == "busy"


async def test_a_deputy_that_lies_about_the_days_is_told_the_holders_own(tmp_path):
    async with absent_owner(tmp_path, 4) as world:
        world.give_duty(world.duty())
        first, second, *_ = world.everybody
        world.pass_days(GRACE_DAYS)
        second.store.see(world.owner)  # the owner was here a moment ago
        with pytest.raises(Refusal) as refused:
            await asked(world, first, second)
        assert refused.value.code == "not_due"


async def test_an_owner_that_comes_back_ends_what_a_deputy_may_at_once(tmp_path):
    async with absent_owner(tmp_path, 4) as world:
        world.give_duty(world.duty())
        first, second, *_ = world.everybody
        world.pass_days(GRACE_DAYS)
        await asked(world, first, second)
        assert await names_for(world, first, second)
        second.store.see(world.owner)
        with pytest.raises(Refusal):
            await names_for(world, first, second)


async def test_a_deputy_puts_nothing_but_the_very_shares_that_the_owner_signed(tmp_path):
    async with absent_owner(tmp_path, 4, packs=1) as world:
        world.give_duty(world.duty())
        new = world.add_friend(7)
        world.give_duty(world.duty(), [new])
        first = world.everybody[0]
        world.pass_days(GRACE_DAYS)
        await asked(world, first, new)
        real = world.shares[0][3]
        ident = world.refs()[0].pack
        (junk,) = make_shares(b"j" * 150_000, ident, owner=world.owner, needed=NEEDED, numbers=[3])
        (fifth,) = make_shares(b"j" * 150_000, ident, owner=world.owner, needed=NEEDED, numbers=[9])
        (mine,) = make_shares(b"j" * 150_000, ident, owner=first.member, needed=NEEDED, numbers=[3])
        named_right = Share(real.name, real.header, junk.payload)
        for forged, code in (
            (junk, "not_due"),
            (fifth, "not_due"),
            (mine, "not_due"),
            (named_right, "bad_share"),
        ):
            with pytest.raises(Refusal) as refused:
                await put_for(world, first, new, forged)
            assert refused.value.code == code
        assert new.names() == set()
        await put_for(world, first, new, real)
        assert new.names() == {real.name}


def test_nothing_is_deleted_for_an_owner():
    wrong = msgspec.msgpack.encode(["for_owner", bytes(32), ["delete", [bytes(32)]]])
    with pytest.raises(ProtocolError):
        decode_request(wrong)


async def test_an_old_duty_that_is_shown_again_changes_nothing(tmp_path):
    async with absent_owner(tmp_path, 4) as world:
        first, second, *_ = world.everybody
        old = world.duty(counter=1)
        world.give_duty(world.duty(counter=2, deputies=world.everybody[:2]))
        with pytest.raises(Refusal) as refused:
            await put_duty(await first.session(second.member), old)
        assert refused.value.code == "stale"
        world.pass_days(GRACE_DAYS)
        with pytest.raises(Refusal) as refused:
            await asked(world, first, second, counter=1)
        assert refused.value.code == "stale"


async def test_a_duty_that_the_owner_has_not_signed_or_of_a_stranger_is_not_kept(tmp_path):
    async with absent_owner(tmp_path, 4) as world:
        first, second, *_ = world.everybody
        forged = bytearray(world.duty())
        forged[-1] ^= 1
        swapped = sign_duty(STRANGER, 9, 1, 1, [first.member], world.refs())
        swapped = swapped[:8] + world.keys.identity_public_key + swapped[40:]
        session = await first.session(second.member)
        for wrong in (bytes(forged), swapped, b"x" * 500):
            with pytest.raises(Refusal) as refused:
                await put_duty(session, wrong)
            assert refused.value.code == "bad_share"
        with pytest.raises(Refusal) as refused:
            await put_duty(session, sign_duty(STRANGER, 9, 1, 1, [first.member], []))
        assert refused.value.code == "not_due"
        assert second.duties.known(world.owner) is None


async def test_a_holder_that_gives_wrong_bytes_spoils_nothing(tmp_path):
    async with absent_owner(tmp_path, 5) as world:
        world.give_duty(world.duty())
        new = world.add_friend(7)
        world.give_duty(world.duty(), [new])
        world.lose(world.everybody[4])
        first, liar, *_ = world.everybody
        honest = liar.handler

        async def lie(remote, request, stream):
            if isinstance(request, ForOwner) and isinstance(request.request, Get):
                await stream.send(Found(world.shares[0][1].header, 75_000))
                await stream.send_data(b"l" * 75_000)
                await stream.finish()
                return
            await honest(remote, request, stream)

        liar.handler = lie
        world.pass_days(GRACE_DAYS)
        assert (await first.act()).shares == 2
        assert world.everything() == world.all_names()
        for shares in world.shares:
            held = new.duties.read_own(world.owner, shares[4].name)
            assert held == (shares[4].header, shares[4].payload)


async def test_a_duty_whose_names_fit_no_pack_makes_nobody_keep_anything(tmp_path):
    """An owner that lies wastes the time of its deputies, and gets nothing for it."""
    async with absent_owner(tmp_path, 4, packs=1) as world:
        (ref,) = world.refs()
        wrong = PackRef(ref.pack, ref.needed, ref.length, ref.shares[:-32] + b"w" * 32)
        deputies = [friend.member for friend in world.everybody]
        record = sign_duty(world.keys, 5, 1, GRACE_DAYS, deputies, [wrong])
        world.give_duty(record)
        new = world.add_friend(7)
        world.give_duty(record, [new])
        world.pass_days(GRACE_DAYS)
        assert (await world.everybody[0].act()).shares == 0
        assert new.names() == set()
