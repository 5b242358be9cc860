"""Friends repair the shares of an owner whose computer is gone, in turn and unread."""

from __future__ import annotations

from peer.duty.lease import LEASE_S
from tests.support.absent_owner import GRACE_DAYS, absent_owner


async def test_what_a_lost_friend_had_is_made_anew_at_another_byte_by_byte(tmp_path):
    async with absent_owner(tmp_path, 4) as world:
        world.give_duty(world.duty())
        new = world.add_friend(7)
        world.give_duty(world.duty(), [new])
        lost = world.everybody[3]
        world.lose(lost)
        assert world.everything() < world.all_names()
        world.pass_days(GRACE_DAYS)
        acted = await world.everybody[0].act()
        assert (acted.owners, acted.packs, acted.shares) == (1, 2, 2)
        assert world.everything() == world.all_names()
        assert new.names() == {shares[3].name for shares in world.shares}
        for shares in world.shares:
            held = new.duties.read_own(world.owner, shares[3].name)
            assert held == (shares[3].header, shares[3].payload)
        again = await world.everybody[0].act()
        assert (again.shares, again.moved_bytes) == (0, 0)


async def test_nobody_acts_before_the_owner_was_away_for_long_enough(tmp_path):
    async with absent_owner(tmp_path, 4) as world:
        world.give_duty(world.duty())
        world.give_duty(world.duty(), [world.add_friend(7)])
        world.lose(world.everybody[3])
        world.pass_days(GRACE_DAYS - 1)
        for friend in world.everybody:
            assert (await friend.act()).owners == 0
        world.pass_days(1)
        assert (await world.everybody[1].act()).owners == 0  # the first one's turn
        assert (await world.everybody[0].act()).owners == 1


async def test_the_next_deputy_acts_a_day_later_when_the_first_one_does_not(tmp_path):
    async with absent_owner(tmp_path, 5) as world:
        world.give_duty(world.duty())
        world.give_duty(world.duty(), [world.add_friend(7)])
        world.lose(world.everybody[0])  # the first deputy itself
        world.pass_days(GRACE_DAYS + 1)
        assert (await world.everybody[0].act()).shares == 2
        assert world.everything() == world.all_names()


async def test_an_owner_that_is_seen_by_one_friend_is_not_acted_for_there(tmp_path):
    async with absent_owner(tmp_path, 4) as world:
        world.give_duty(world.duty())
        world.pass_days(GRACE_DAYS)
        first, second, *_ = world.everybody
        first.store.see(world.owner)
        assert (await first.act()).owners == 0
        for friend in world.everybody[1:3]:
            friend.store.see(world.owner)
        world.pass_days(1)
        assert (await second.act()).owners == 0


async def test_two_deputies_who_want_to_act_at_once_do_not(tmp_path):
    async with absent_owner(tmp_path, 4) as world:
        world.give_duty(world.duty())
        world.give_duty(world.duty(), [world.add_friend(7)])
        world.lose(world.everybody[3])
        world.pass_days(GRACE_DAYS + 1)
        first, second, *_ = world.everybody
        assert (await first.act()).owners == 1
        assert (await second.act()).owners == 0
        world.now_s += LEASE_S + 1
        assert (await second.act()).owners == 1


async def test_without_most_of_the_deputies_nobody_acts(tmp_path):
    async with absent_owner(tmp_path, 4) as world:
        world.give_duty(world.duty())
        world.pass_days(GRACE_DAYS)
        for friend in world.everybody[2:]:
            friend.online = False
        assert (await world.everybody[0].act()).owners == 0


async def test_what_a_friend_who_is_just_away_may_have_is_not_made_anew(tmp_path):
    async with absent_owner(tmp_path, 5) as world:
        world.give_duty(world.duty())
        world.give_duty(world.duty(), [world.add_friend(7)])
        world.pass_days(GRACE_DAYS)
        asleep = world.everybody[4]
        asleep.online = False
        acted = await world.everybody[0].act()
        assert (acted.owners, acted.shares) == (1, 0)
        assert acted.moved_bytes == 0


async def test_the_owner_that_comes_back_finds_the_new_shares_by_asking(tmp_path):
    async with absent_owner(tmp_path, 4, packs=1) as world:
        world.give_duty(world.duty())
        new = world.add_friend(7)
        world.give_duty(world.duty(), [new])
        world.lose(world.everybody[3])
        world.pass_days(GRACE_DAYS)
        await world.everybody[0].act()
        page, _ = new.store.list_after(world.owner, b"", 10)
        assert [name for name, _ in page] == [world.shares[0][3].name]
        assert new.store.used_by_owner()[world.owner] > len(world.shares[0][3].payload)


async def test_a_deputy_with_an_old_duty_hears_of_the_newer_one_first(tmp_path):
    async with absent_owner(tmp_path, 4) as world:
        first, *others = world.everybody
        world.give_duty(world.duty(counter=1), [first])
        world.give_duty(world.duty(counter=2), others)
        world.give_duty(world.duty(counter=2), [world.add_friend(7)])
        world.lose(world.everybody[3])
        world.pass_days(GRACE_DAYS)
        assert (await first.act()).shares == 2
        known = first.duties.known(world.owner)
        assert known is not None
        assert known.counter == 2


async def test_who_came_to_the_group_later_gets_the_duty_and_takes_shares_in_time(tmp_path):
    async with absent_owner(tmp_path, 4) as world:
        world.give_duty(world.duty())
        world.lose(world.everybody[3])
        world.pass_days(GRACE_DAYS)
        new = world.add_friend(7)
        first = world.everybody[0]
        acted = await first.act()
        assert (acted.shares, acted.lacking) == (0, 0)  # it may have what nobody lists
        assert new.duties.known(world.owner) is not None
        world.pass_days(GRACE_DAYS)
        assert (await first.act()).shares == 2
        assert world.everything() == world.all_names()


async def test_a_friend_who_counts_as_gone_may_have_nothing_that_nobody_lists(tmp_path):
    async with absent_owner(tmp_path, 5) as world:
        world.give_duty(world.duty())
        world.give_duty(world.duty(), [world.add_friend(7)])
        world.look_around(hours=1)
        gone = world.everybody[4]
        gone.online = False
        world.pass_days(GRACE_DAYS)
        assert (await world.everybody[0].act()).shares == 0  # nobody has looked for it yet
        world.look_around(hours=4 * 24)
        assert (await world.everybody[0].act()).shares == 2
        assert {shares[4].name for shares in world.shares} <= world.everybody[5].names()
