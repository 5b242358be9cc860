"""The fastest k: who is slow, silent or gone holds nothing up while others are there.

Time is virtual, so every bound on it is exact for the friends' given rates.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from netsim.world.clock import run_at_once
from peer.restore.fetch import GIVE_UP_S, PackUnavailable
from peer.restore.messages import range_file
from peer.restore.racing import HEDGE_MAX_S
from tests.support.slow_friends import FAST, Pack, World, a_pack, slow_friends

NEEDED, TOTAL = 3, 6
SHARE_BYTES = 1_000_000
PACKS_AT_ONCE = 6
CHANCE = random.Random(9)
PACKS = [
    a_pack(CHANCE.randbytes(NEEDED * SHARE_BYTES), NEEDED, TOTAL, number) for number in range(12)
]


async def bring(world: World, row: int) -> None:
    numbers = await world.fetcher.fetch(world.packs[row], row)
    assert len(numbers) == NEEDED
    for number in numbers:
        assert world.arrived(row, number) == world.packs[row].made[number].payload


async def bring_all(world: World, *, first: int = 0) -> float:
    """All packs, as many at a time as an engine asks for; how long it took."""
    gate = asyncio.Semaphore(PACKS_AT_ONCE)
    begun = asyncio.get_running_loop().time()

    async def one(row: int) -> None:
        async with gate:
            await bring(world, row)

    await asyncio.gather(*(one(row) for row in range(first, len(world.packs))))
    return asyncio.get_running_loop().time() - begun


def play(
    tmp_path: Path, what: Callable[[World], Awaitable[None]], packs: list[Pack] = PACKS
) -> None:
    async def world() -> None:
        async with slow_friends(tmp_path, packs, TOTAL) as made:
            await what(made)
            made_files = {f"{row}.{n}" for row in range(len(packs)) for n in range(TOTAL)}
            assert {path.name for path in tmp_path.iterdir()} <= made_files

    run_at_once(world())


IDEAL_S = len(PACKS) * NEEDED * SHARE_BYTES / (TOTAL * FAST)
"""With all friends sending all the time."""


def test_all_friends_send_together_and_nothing_is_fetched_twice(tmp_path):
    async def what(world: World) -> None:
        assert await bring_all(world) < 1.6 * IDEAL_S + 0.5
        assert world.fetcher.fetched_bytes == len(PACKS) * NEEDED * SHARE_BYTES
        assert len(world.fetcher.sources) == TOTAL

    play(tmp_path, what)


def test_friends_who_are_all_slow_are_not_asked_twice(tmp_path):
    async def what(world: World) -> None:
        for friend in world.friends.all:
            friend.rate = FAST / 100  # a share takes ten seconds
        assert await bring_all(world) < 1.6 * 100 * IDEAL_S
        assert world.fetcher.fetched_bytes <= 1.05 * len(PACKS) * NEEDED * SHARE_BYTES

    play(tmp_path, what)


@pytest.mark.parametrize("rate", [25e3, 100e3, 1e6])
def test_a_slow_line_of_our_own_makes_nobody_late(tmp_path, rate):
    async def what(world: World) -> None:
        line = asyncio.Lock()
        for friend in world.friends.all:
            friend.rate, friend.line = rate, line
        size = len(PACKS) * NEEDED * SHARE_BYTES
        assert await bring_all(world) < 1.1 * size / rate
        assert world.fetcher.fetched_bytes <= 1.05 * size

    play(tmp_path, what)


@pytest.mark.parametrize("slow", range(TOTAL))
def test_a_friend_that_is_fifty_times_slower_holds_up_nothing_for_long(tmp_path, slow):
    async def what(world: World) -> None:
        world.friends.all[slow].rate = FAST / 50  # a share takes five seconds
        first = await bring_all(world)
        assert first < 2 * IDEAL_S + 2.5
        assert world.fetcher.fetched_bytes < 1.2 * len(PACKS) * NEEDED * SHARE_BYTES
        # It is known now.
        assert await bring_all(world) < 2 * IDEAL_S + 0.5

    play(tmp_path, what)


@pytest.mark.parametrize("silent", range(TOTAL))
@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.3])
def test_a_friend_that_falls_silent_holds_up_a_pack_for_a_few_seconds_at_most(
    tmp_path, silent, after_s
):
    async def what(world: World) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(after_s, world.friends.all[silent].answers.clear)
        assert await bring_all(world) < 2 * IDEAL_S + HEDGE_MAX_S + 1
        begun = loop.time()
        await bring(world, 0)
        assert loop.time() - begun < 1

    play(tmp_path, what)


def test_a_silent_friend_is_seen_on_a_slow_line_of_our_own_too(tmp_path):
    async def what(world: World) -> None:
        line, rate = asyncio.Lock(), 1e6
        for friend in world.friends.all:
            friend.rate, friend.line = rate, line
        silent = world.friends.all[1]
        silent.line = asyncio.Lock()  # so that it keeps nobody else from sending
        asyncio.get_running_loop().call_later(0.5, silent.answers.clear)
        size = len(PACKS) * NEEDED * SHARE_BYTES
        assert await bring_all(world) < 1.2 * size / rate + 2 * HEDGE_MAX_S
        assert world.fetcher.fetched_bytes <= 1.2 * size

    play(tmp_path, what)


def test_as_many_silent_friends_as_can_be_spared_cost_seconds_and_not_minutes(tmp_path):
    async def what(world: World) -> None:
        for friend in world.friends.all[:NEEDED]:
            friend.answers.clear()
        assert await bring_all(world) < 2 * IDEAL_S + 3 * HEDGE_MAX_S < GIVE_UP_S

    play(tmp_path, what)


def test_a_range_whose_plain_holder_is_silent_is_rebuilt_from_others_within_seconds(tmp_path):
    pack = PACKS[0]

    async def what(world: World) -> None:
        loop = asyncio.get_running_loop()
        world.friends.all[1].answers.clear()
        offset, length = SHARE_BYTES + 1000, 10_000
        for _ in range(3):
            begun = loop.time()
            await world.fetcher.fetch_range(pack, 0, offset, length)
            path = world.scratch / range_file(0, offset, length)
            assert path.read_bytes() == pack.data[offset : offset + length]
            path.unlink()
            assert loop.time() - begun < HEDGE_MAX_S + 0.5
        assert world.fetcher.fetched_bytes == 3 * NEEDED * (64 << 10)

    play(tmp_path, what, [pack])


def test_the_loser_of_a_race_is_let_go(tmp_path):
    async def what(world: World) -> None:
        slow = world.friends.all[0]
        slow.rate = FAST / 1000
        await bring_all(world)
        sent = slow.sent_bytes
        await asyncio.sleep(100)
        assert slow.sent_bytes - sent <= 64 << 10
        assert sum(t.backlog for t in world.fetcher.speeds._friends.values()) == 0

    play(tmp_path, what)


def test_a_friend_who_was_slow_is_used_again_when_the_line_is_free(tmp_path):
    async def what(world: World) -> None:
        slow = world.friends.all[0]
        slow.rate = FAST / 50
        await bring_all(world)
        slow.rate = FAST
        await asyncio.sleep(61)
        before = world.fetcher.sources[f"friend 0 ({slow.member.hex()[:8]})"]
        await bring_all(world)
        assert world.fetcher.sources[f"friend 0 ({slow.member.hex()[:8]})"] > before + 2

    play(tmp_path, what)


def test_a_friend_who_comes_is_asked_for_what_is_late(tmp_path):
    async def what(world: World) -> None:
        friends = world.friends.all
        for friend in friends[NEEDED:]:
            friend.online = False
        friends[0].answers.clear()
        loop = asyncio.get_running_loop()
        loop.call_later(10, setattr, friends[4], "online", True)
        begun = loop.time()
        await bring(world, 0)
        assert 10 <= loop.time() - begun < 11

    play(tmp_path, what)


def test_without_enough_friends_it_is_said_who_may_have_more(tmp_path):
    async def what(world: World) -> None:
        for friend in world.friends.all[2:]:
            friend.online = False
        with pytest.raises(PackUnavailable) as error:
            await bring(world, 0)
        assert "only 2 of the 3 shares" in str(error.value)
        assert "friend 2, friend 3, friend 4 or friend 5 may have more" in str(error.value)

    play(tmp_path, what)


def test_what_came_is_kept_for_the_next_attempt_and_bounded(tmp_path):
    async def what(world: World) -> None:
        for friend in world.friends.all[2:]:
            friend.online = False
        for row in range(12):
            with pytest.raises(PackUnavailable):
                await bring(world, row)
        assert len(list(world.scratch.iterdir())) == 8 * 2
        for number, friend in enumerate(world.friends.all):
            friend.online = number == 5
        await bring(world, 11)
        assert world.fetcher.fetched_bytes == (12 * 2 + 1) * SHARE_BYTES

    play(tmp_path, what)


def test_a_share_that_two_friends_have_is_asked_of_the_second_when_the_first_is_silent(tmp_path):
    pack = a_pack(PACKS[0].data, TOTAL, TOTAL)  # none can be spared

    async def what(world: World) -> None:
        silent, second = world.friends.all[0], world.friends.all[1]
        second.shares |= silent.shares
        await world.fetcher.learn()
        silent.answers.clear()
        begun = asyncio.get_running_loop().time()
        assert len(await world.fetcher.fetch(pack, 0)) == TOTAL
        assert asyncio.get_running_loop().time() - begun < HEDGE_MAX_S + 1

    play(tmp_path, what, [pack])


def test_shares_that_moved_are_found_by_asking(tmp_path):
    async def what(world: World) -> None:
        friends = world.friends.all
        moved = [friend.shares for friend in friends]
        for number, friend in enumerate(friends):
            friend.shares = moved[(number + 1) % TOTAL]
        await bring(world, 3)

    play(tmp_path, what)


@pytest.mark.parametrize("seed", range(8))
def test_everything_comes_while_friends_come_and_go(tmp_path, seed):
    chance = random.Random(seed)

    async def restless(world: World) -> None:
        while True:
            await asyncio.sleep(chance.expovariate(3))
            friend = chance.choice(world.friends.all)
            match chance.randrange(6):
                case 0 | 1:
                    friend.leave()
                case 2:
                    friend.answers.clear()
                case 3:
                    friend.rate = FAST / chance.choice([1, 5, 50])
                case _:
                    friend.online = True
                    friend.answers.set()

    async def patiently(world: World, row: int) -> None:
        while True:
            try:
                return await bring(world, row)
            except PackUnavailable:
                await asyncio.sleep(1)

    async def what(world: World) -> None:
        coming = asyncio.create_task(restless(world))
        try:
            async with asyncio.timeout(300):
                await asyncio.gather(*(patiently(world, row) for row in range(len(PACKS))))
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)

    play(tmp_path, what)
