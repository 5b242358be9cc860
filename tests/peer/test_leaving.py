"""The way out of a group: handing over, the goodbye, and taking it back until then."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from datachannel.credentials import GOING, GONE, STAYS
from datachannel.errors import Unavailable
from netsim.world.clock import run_here
from peer.leaving import LOOK_EVERY_S, Leaving
from peer.service import Event, Problem
from signaling.messages import MemberId

ANNA, BEN = MemberId(b"a" * 32), MemberId(b"b" * 32)


@dataclass
class Card:
    name: str
    offer_bytes: int = 1
    leaving: int = STAYS


@dataclass
class Friend:
    member: MemberId
    card: Card
    online: bool = True


@dataclass
class World:
    """A member with shares of two friends, and what it does to the world by leaving."""

    limit_bytes: int = 100
    held: dict[bytes, int] = field(default_factory=lambda: {ANNA: 40, BEN: 60})
    friends: dict[MemberId, Friend] = field(
        default_factory=lambda: {
            ANNA: Friend(ANNA, Card("Anna")),
            BEN: Friend(BEN, Card("Ben")),
        }
    )
    reached: bool = True
    announced: list[int] = field(default_factory=list)
    handed_over: set[MemberId] = field(default_factory=set)
    has_left: bool = False
    is_member: bool = True
    server: bool = True
    told: asyncio.Event = field(default_factory=asyncio.Event)

    def shares_by_owner(self) -> dict[bytes, int]:
        return dict(self.held)

    def members(self) -> dict[MemberId, Friend]:
        return self.friends

    async def session(self, member: MemberId):
        raise Unavailable("nobody is called here")

    async def announce(self, leaving: int) -> None:
        self.announced.append(leaving)
        self.told.set()

    async def leave(self) -> None:
        if not self.server:
            raise Unavailable("no server")
        self.has_left = True

    async def forget(self) -> None:
        assert GONE in self.announced
        self.is_member = False

    def leaving(self, **how: float) -> Leaving:
        return Leaving(
            self,
            self,
            run_here,
            announce=self.announce,
            leave=self.leave,
            forget=self.forget,
            handed_over=self.handed_over,
            **how,
        )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("peer.leaving.LOOK_EVERY_S", 0.005)


async def done(leaving: Leaving, *, now: bool = False) -> Event:
    async with asyncio.timeout(20):
        return await leaving.run(lambda event: None, now=now)


async def test_nobody_says_goodbye_before_friends_who_are_awake_are_done(quick):
    world = World()
    leaving = world.leaving()
    events: asyncio.Queue[Event] = asyncio.Queue()
    async with asyncio.timeout(20):
        task = asyncio.create_task(leaving.run(events.put_nowait, now=False))
        assert (await events.get())["waiting_for"] == ["Anna", "Ben"]
        assert world.limit_bytes == 0
        world.held[ANNA] = 0
        world.handed_over.add(ANNA)
        while (await events.get())["waiting_for"] != ["Ben"]:
            pass
        assert world.announced == [GOING]
        world.handed_over.add(BEN)  # who could not take all of it
        event = await task
    assert world.announced == [GOING, GONE]
    assert world.has_left
    assert leaving.is_gone.is_set()
    assert not world.is_member
    assert event["ok"]
    assert (event["summary"]["handed_over_bytes"], event["summary"]["left_bytes"]) == (40, 60)


async def test_friends_who_are_asleep_are_not_waited_for(quick):
    world = World()
    for friend in world.friends.values():
        friend.online = False
    event = await done(world.leaving())
    assert world.announced == [GOING, GONE]
    assert "made anew by its owners" in event["message"]


async def test_a_friend_who_does_nothing_is_not_waited_for_for_ever(quick):
    world = World()
    await done(world.leaving(idle_s=0.05))
    assert world.has_left


async def test_with_now_nobody_is_waited_for(quick):
    world = World()
    await done(world.leaving(), now=True)
    assert world.announced == [GONE]
    assert world.limit_bytes == 100


async def test_breaking_off_before_the_goodbye_takes_everything_back(quick):
    world = World()
    leaving = world.leaving()
    task = asyncio.create_task(done(leaving))
    await world.told.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert world.announced == [GOING, STAYS]
    assert world.limit_bytes == 100
    assert not world.has_left
    assert world.is_member
    assert not leaving.is_gone.is_set()


async def test_without_the_server_nobody_leaves_by_mistake(quick):
    world = World(reached=False, server=False)
    leaving = world.leaving()
    with pytest.raises(Problem, match="nobody would hear of it") as refused:
        await done(leaving)
    assert "--now" in refused.value.next_step
    assert not leaving.is_gone.is_set()
    event = await done(leaving, now=True)
    assert not event["summary"]["told"]
    assert leaving.is_gone.is_set()


def test_what_is_held_is_not_counted_all_the_time():
    assert LOOK_EVERY_S >= 1
