"""Several stores at one Redis, as several server instances have them."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from signaling.config import Limits
from signaling.messages import MEMBERS_MAX, MemberId, MoveNotice
from signaling.notices import (
    Conflict,
    Entered,
    EnteredElsewhere,
    Exited,
    ExitedElsewhere,
    Found,
    Group,
    Heard,
    How,
    Left,
    LeftElsewhere,
    MovedElsewhere,
    Moving,
    Passed,
    PassedHere,
    Picture,
    Settled,
    Undelivered,
)
from signaling.stores import StoreError, shared
from signaling.stores.shared import RedisStore
from tests.support.members import counted_bytes
from tests.support.redis_server import RedisServer, redis_server
from tests.support.registry import Hearing

NAME, KEY, OTHER_KEY = b"n" * 32, b"k" * 32, b"o" * 32
ANNA, BEN, CARLA = (MemberId(letter * 32) for letter in (b"a", b"b", b"c"))


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases run out soon, and broken sessions are renewed soon."""
    monkeypatch.setattr(shared, "LEASE_S", 0.6)
    monkeypatch.setattr(shared, "SIGN_S", 0.15)
    monkeypatch.setattr(shared, "RETRY_S_MAX", 0.2)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the conditions are of several kinds
            await asyncio.sleep(0.005)


class Instance(Hearing):
    """One instance's store, and what it hears."""

    def __init__(self, redis: RedisServer, name: str) -> None:
        super().__init__()
        self.store = RedisStore(
            redis.url, Limits(), random_bytes=counted_bytes(name), jitter=random.Random(name)
        )

    def enter(
        self, member: MemberId, card: bytes = b"card", *, key: bytes = KEY, how: How = "joins"
    ) -> Entered:
        notice = Entered(NAME, key, member, card, how, True)
        self.store.tell(notice)
        return notice

    async def hears(self, is_it: Callable[[Heard], bool]) -> Heard:
        """The first that it heard or hears of this kind; all before it is forgotten."""
        async with asyncio.timeout(10):
            while True:
                for place, heard in enumerate(self.all):
                    if is_it(heard):
                        del self.all[: place + 1]
                        return heard
                await asyncio.sleep(0.005)

    async def hears_a(self, kind: type[Heard]) -> Heard:
        return await self.hears(lambda heard: isinstance(heard, kind))

    async def is_away(self) -> None:
        await until(lambda: not self.store.is_ready)


@asynccontextmanager
async def an_instance(redis: RedisServer, name: str) -> AsyncIterator[Instance]:
    instance = Instance(redis, name)
    await instance.store.open(instance)
    try:
        yield instance
    finally:
        await instance.store.close()


async def die(instance: Instance) -> None:
    """End without a word to anybody, as a killed process does."""
    assert instance.store._staying is not None
    instance.store._staying.cancel()
    await asyncio.wait([instance.store._staying])
    instance.store._staying = None


async def test_an_instance_hears_of_its_groups_and_of_no_other(redis: RedisServer):
    async with an_instance(redis, "one") as one, an_instance(redis, "two") as two:
        one.enter(ANNA, b"anna's")
        assert await one.hears_a(Picture) == Picture(
            NAME, ANNA, {ANNA: b"anna's"}, {}, frozenset({ANNA})
        )
        found = await two.store.find(NAME)
        (at_one,) = found.elsewhere.values()
        assert found == Found(Group(NAME, KEY, {ANNA: b"anna's"}), {ANNA: at_one})
        one.enter(CARLA, b"carla's")
        assert await one.hears_a(Settled) == Settled(NAME, CARLA, b"carla's", "joins")
        two.enter(BEN, b"ben's")
        assert await two.hears_a(Picture) == Picture(
            NAME,
            BEN,
            {ANNA: b"anna's", BEN: b"ben's", CARLA: b"carla's"},
            {ANNA: at_one, CARLA: at_one},
            frozenset({BEN}),
        )
        entered = await one.hears_a(EnteredElsewhere)
        assert isinstance(entered, EnteredElsewhere)
        assert (entered.member, entered.card, entered.how) == (BEN, b"ben's", "joins")
        at_two = entered.instance
        two.enter(BEN, b"ben's new", how="card")
        assert await one.hears_a(EnteredElsewhere) == EnteredElsewhere(
            NAME, BEN, b"ben's new", at_two, "card"
        )
        one.store.tell(Passed(NAME, ANNA, BEN, at_two, b"\x00sealed\xff"))
        assert await two.hears_a(PassedHere) == PassedHere(NAME, ANNA, BEN, b"\x00sealed\xff")
        one.store.tell(Exited(NAME, ANNA))
        assert await two.hears_a(ExitedElsewhere) == ExitedElsewhere(NAME, ANNA, at_one)
        one.store.tell(Left(NAME, CARLA))
        assert await two.hears_a(LeftElsewhere) == LeftElsewhere(NAME, CARLA)
        two.enter(BEN, b"ben's newest", how="card")  # nobody is at one any more
        await two.store.find(NAME)
        assert one.all == [LeftElsewhere(NAME, CARLA)], "its own step, and nothing of others"


async def test_who_enters_elsewhere_is_told_to_be_there_and_not_here(redis: RedisServer):
    async with an_instance(redis, "one") as one, an_instance(redis, "two") as two:
        one.enter(ANNA)
        await one.hears_a(Picture)
        two.enter(ANNA)
        entered = await one.hears_a(EnteredElsewhere)
        one.store.tell(Exited(NAME, ANNA))  # of the old connection: too late to matter
        one.store.tell(Left(NAME, ANNA))
        one.enter(ANNA, b"an old card", how="card")
        await one.store.find(NAME)
        found = await one.store.find(NAME)
        assert isinstance(entered, EnteredElsewhere)
        assert found == Found(Group(NAME, KEY, {ANNA: b"card"}), {ANNA: entered.instance})


async def test_a_move_is_heard_by_the_others_and_is_in_later_pictures(redis: RedisServer):
    notice = MoveNotice(1, 7, "https://new.example", bytes(64))
    async with (
        an_instance(redis, "one") as one,
        an_instance(redis, "two") as two,
        an_instance(redis, "three") as three,
    ):
        one.enter(ANNA)
        two.enter(BEN)
        await two.hears_a(Picture)
        one.store.tell(Moving(NAME, notice))
        assert await two.hears_a(MovedElsewhere) == MovedElsewhere(NAME, notice)
        three.enter(CARLA)
        picture = await three.hears_a(Picture)
        assert isinstance(picture, Picture)
        assert picture.moved == notice
        assert len(picture.members) == 3


async def test_two_keys_for_one_name_are_a_conflict_for_the_later(redis: RedisServer):
    async with an_instance(redis, "one") as one, an_instance(redis, "two") as two:
        await one.store.record(one.enter(ANNA))
        two.enter(BEN, key=OTHER_KEY)
        assert await two.hears_a(Conflict) == Conflict(NAME, BEN)
        assert (await two.store.find(NAME)).group == Group(NAME, KEY, {ANNA: b"card"})


async def test_the_member_that_is_too_many_is_a_conflict(redis: RedisServer):
    async with an_instance(redis, "one") as one:
        for number in range(MEMBERS_MAX):
            one.enter(MemberId(bytes([number]) * 32))
        late = MemberId(b"too many".ljust(32))
        one.enter(late)
        assert await one.hears_a(Conflict) == Conflict(NAME, late)
        found = await one.store.find(NAME)
        assert found.group is not None
        assert len(found.group.members) == MEMBERS_MAX


async def test_an_instance_that_ends_takes_its_members_offline_at_once(redis: RedisServer):
    async with an_instance(redis, "two") as two:
        async with an_instance(redis, "one") as one:
            one.enter(ANNA)
            two.enter(BEN)
            await two.hears_a(Picture)
            await one.store.find(NAME)
        exited = await two.hears_a(ExitedElsewhere)
        assert isinstance(exited, ExitedElsewhere)
        assert exited.member == ANNA
        found = await two.store.find(NAME)
        assert found == Found(Group(NAME, KEY, {ANNA: b"card", BEN: b"card"}))
        two.store.tell(Passed(NAME, BEN, ANNA, exited.instance, b"too late"))
        assert await two.hears_a(Undelivered) == Undelivered(NAME, BEN, ANNA, exited.instance)


async def test_the_members_of_an_instance_that_died_are_offline_when_its_lease_has_run_out(
    redis: RedisServer, soon: None
):
    async with an_instance(redis, "two") as two:
        one = Instance(redis, "one")
        await one.store.open(one)
        one.enter(ANNA)
        two.enter(BEN)
        await two.hears_a(Picture)
        await one.store.find(NAME)
        await die(one)
        exited = await two.hears_a(ExitedElsewhere)
        assert isinstance(exited, ExitedElsewhere)
        assert exited.member == ANNA
        assert (await two.store.find(NAME)).group == Group(NAME, KEY, {ANNA: b"card", BEN: b"card"})
        with redis.client() as client:  # and nothing of it stays
            assert client.keys(f"covey:at:{exited.instance}") == []
            await until(lambda: client.zcard("covey:sessions") == 1)


async def test_after_a_restart_of_redis_all_is_told_again(redis: RedisServer, soon: None):
    async with an_instance(redis, "one") as one, an_instance(redis, "two") as two:
        group = Group(NAME, KEY, {ANNA: b"card", BEN: b"card", CARLA: b"card"})
        for instance, member in ((one, ANNA), (two, BEN)):
            instance.here = [(group, [instance.enter(member, how="again")])]
            await instance.store.find(NAME)
        one.enter(CARLA)
        await one.store.find(NAME)
        redis.kill()
        await one.is_away()
        one.store.tell(Left(NAME, CARLA))  # she must not stay a member for that
        redis.start()
        for instance, member in ((one, ANNA), (two, BEN)):
            picture = await instance.hears_a(Picture)
            assert isinstance(picture, Picture)
            assert picture.here == {member}
        async with asyncio.timeout(5):
            while True:
                found = await one.store.find(NAME)
                assert found.group is not None
                if found.group.members.keys() == {ANNA, BEN} == {ANNA, *found.elsewhere}:
                    break
                await asyncio.sleep(0.02)


async def test_a_redis_that_has_lost_everything_is_told_what_the_instances_remember(
    redis: RedisServer, soon: None
):
    async with an_instance(redis, "one") as one:
        group = Group(NAME, KEY, {ANNA: b"anna's", BEN: b"of who is offline"})
        one.here = [(group, [one.enter(ANNA, b"anna's", how="again")])]
        await one.store.find(NAME)
        with redis.client() as client:
            client.flushall()
        picture = await one.hears_a(Picture)
        assert isinstance(picture, Picture)
        assert picture.members == group.members
        assert (await one.store.find(NAME)).group == group
        assert one.store.groups == 1


async def test_a_copy_of_redis_is_restored_as_docs_operating_says(
    redis: RedisServer, tmp_path: Path
):
    (tmp_path / "restored").mkdir()
    restored = RedisServer(tmp_path / "restored")
    async with an_instance(redis, "one") as one:
        await one.store.record(one.enter(ANNA))
        copy = str(tmp_path / "restored" / "dump.rdb")
        words = ["redis-cli", "-p", str(redis.port), "--rdb", copy]
        await asyncio.to_thread(subprocess.run, words, check=True, capture_output=True)
    try:
        restored.start(appendonly="no")
        with restored.client() as client:
            client.config_set("appendonly", "yes")
            await until(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
        restored.kill(signal.SIGTERM)
        restored.start()
        async with an_instance(restored, "two") as two:
            found = await two.store.find(NAME)
            assert found.group == Group(NAME, KEY, {ANNA: b"card"})
    finally:
        restored.kill()


async def test_while_redis_is_away_questions_have_an_end(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shared, "ANSWER_TIMEOUT_S", 0.1)
    async with an_instance(redis, "one") as one:
        redis.kill()
        await one.is_away()
        with pytest.raises(StoreError, match="does not answer"):
            await one.store.find(NAME)
        with pytest.raises(StoreError, match="does not answer"):
            await one.store.record(Entered(NAME, KEY, ANNA, b"", "joins", True))
        one.store.tell(Passed(NAME, ANNA, BEN, "0" * 16, b""))
        assert one.all == [Undelivered(NAME, ANNA, BEN, "0" * 16)]


async def test_a_redis_without_room_refuses_and_forgets_nothing(redis: RedisServer):
    async with an_instance(redis, "one") as one:
        await one.store.record(one.enter(ANNA))
        with redis.client() as client:
            client.config_set("maxmemory", "1")
        with pytest.raises(StoreError, match="refuses"):
            await one.store.record(Entered(NAME, KEY, BEN, b"", "joins", True))
        assert one.store.failures > 0
        assert (await one.store.find(NAME)).group == Group(NAME, KEY, {ANNA: b"card"})


async def test_too_much_that_waits_begins_a_new_session_in_which_all_is_told_again(
    redis: RedisServer, soon: None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shared, "STEPS_MAX", 20)
    async with an_instance(redis, "one") as one:
        group = Group(NAME, KEY, {ANNA: b"card"})
        one.here = [(group, [Entered(NAME, KEY, ANNA, b"card", "again", False)])]
        for _ in range(50):
            one.store.tell(Exited(NAME, BEN))
        await one.hears_a(Picture)
        await until(lambda: one.store.is_ready)
        assert (await one.store.find(NAME)).group == group


async def test_forgotten_scripts_are_loaded_again(redis: RedisServer, soon: None):
    async with an_instance(redis, "one") as one:
        with redis.client() as client:
            client.script_flush()
        assert await one.store.find(NAME) == Found(None)


async def test_what_is_garbled_in_redis_harms_nobody(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
):
    async with an_instance(redis, "one") as one:
        with redis.client() as client:
            (channel,) = client.pubsub_channels("covey:to:*")
            for junk in (b"x", b"p" * 65, b"e" * 70, b"?" * 200, b"s" + bytes(40_000)):
                client.publish(channel, junk)
            client.hset(b"covey:group:" + NAME, "key", "short")
        with pytest.raises(StoreError, match="what is no group"):
            await one.store.find(NAME)
        one.enter(ANNA, key=b"short")
        with pytest.raises(StoreError, match="what is no group"):
            await one.store.find(NAME)
    assert "garbled" in caplog.text
