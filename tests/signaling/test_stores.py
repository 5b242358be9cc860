"""What both stores promise, by the same tests: in a file, and in a real Redis."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from signaling.config import Limits
from signaling.messages import (
    CARD_BYTES_MAX,
    MEMBERS_MAX,
    MOVE_NUMBER_MAX,
    MemberId,
    MoveNotice,
)
from signaling.notices import Entered, Exited, Found, Group, How, Left, Moving
from signaling.stores import Store, StoreError
from signaling.stores.file import TinyDbStore
from signaling.stores.shared import RedisStore
from tests.support.members import counted_bytes
from tests.support.redis_server import RedisServer, redis_server
from tests.support.registry import Hearing

NAME, OTHER = b"n" * 32, b"\x00\xff" * 16
KEY, OTHER_KEY = b"k" * 32, b"\xfe" * 32
ANNA, BEN = MemberId(b"a" * 32), MemberId(bytes(range(32)))

Open = Callable[[], AbstractAsyncContextManager[Store]]
"""Opens the store as a server does; what was told is there when it is opened again."""


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=["file", "redis"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    if request.param == "file":
        return lambda: a_file(tmp_path)
    server: RedisServer = request.getfixturevalue("redis")
    with server.client() as client:
        client.flushall()
    return lambda: a_redis(server)


@asynccontextmanager
async def a_file(folder: Path) -> AsyncIterator[Store]:
    store = TinyDbStore(folder, Limits(groups_max=2))
    await store.open(Hearing())
    yield store
    await store.close()


@asynccontextmanager
async def a_redis(server: RedisServer) -> AsyncIterator[Store]:
    random_bytes, jitter = counted_bytes("contract"), random.Random(1)
    store = RedisStore(server.url, Limits(groups_max=2), random_bytes=random_bytes, jitter=jitter)
    await store.open(Hearing())
    yield store
    await store.close()


def entered(
    member: MemberId,
    card: bytes = b"card",
    *,
    name: bytes = NAME,
    key: bytes = KEY,
    how: How = "joins",
) -> Entered:
    return Entered(name, key, member, card, how, True)


async def test_a_new_store_knows_nobody(opened: Open):
    async with opened() as store:
        assert await store.find(NAME) == Found(None)
        assert (store.groups, store.is_ready, store.failures) == (0, True, 0)
        assert (store.takes_groups, store.takes_members) == (True, True)


async def test_who_was_recorded_is_found_now_and_after_a_restart(opened: Open):
    group = Group(NAME, KEY, {ANNA: b"card", BEN: b""})
    async with opened() as store:
        await store.record(entered(ANNA))
        await store.record(entered(BEN, b""))
        assert (await store.find(NAME)).group == group
    async with opened() as store:
        assert await store.find(NAME) == Found(group)
        assert await store.find(OTHER) == Found(None)


async def test_what_was_told_is_found_without_waiting(opened: Open):
    async with opened() as store:
        store.tell(entered(ANNA))
        assert (await store.find(NAME)).group == Group(NAME, KEY, {ANNA: b"card"})
        store.tell(entered(ANNA, b"new", how="card"))
        store.tell(Exited(NAME, ANNA))
        assert (await store.find(NAME)).group == Group(NAME, KEY, {ANNA: b"new"})


async def test_who_left_is_forgotten_and_a_name_is_free_after_the_last(opened: Open):
    async with opened() as store:
        for member in (ANNA, BEN):
            store.tell(entered(member))
        store.tell(Left(NAME, ANNA))
        assert (await store.find(NAME)).group == Group(NAME, KEY, {BEN: b"card"})
        store.tell(Left(NAME, BEN))
        assert (await store.find(NAME)).group is None
        await store.record(entered(ANNA, key=OTHER_KEY))
        assert (await store.find(NAME)).group == Group(NAME, OTHER_KEY, {ANNA: b"card"})


async def test_the_largest_group_is_kept(opened: Open):
    card = bytes(CARD_BYTES_MAX)
    group = Group(NAME, KEY, {MemberId(bytes([n]) * 32): card for n in range(MEMBERS_MAX)})
    async with opened() as store:
        for member in group.members:
            store.tell(entered(member, card))
        assert (await store.find(NAME)).group == group
    async with opened() as store:
        assert (await store.find(NAME)).group == group


def moving(number: int, name: bytes = NAME) -> Moving:
    return Moving(name, MoveNotice(1, number, f"https://{number}.example", bytes(64)))


async def test_the_latest_move_of_a_group_is_kept_with_it_and_goes_with_it(opened: Open):
    async with opened() as store:
        store.tell(moving(1))  # of no group
        assert (await store.find(NAME)).group is None
        await store.record(entered(ANNA))
        for number in (7, MOVE_NUMBER_MAX, 8, 0x10):
            store.tell(moving(number))
        latest = moving(MOVE_NUMBER_MAX).notice
        assert (await store.find(NAME)).group == Group(NAME, KEY, {ANNA: b"card"}, latest)
        store.tell(entered(BEN))
    async with opened() as store:
        found = (await store.find(NAME)).group
        assert found == Group(NAME, KEY, {ANNA: b"card", BEN: b"card"}, latest)
        for member in (ANNA, BEN):
            store.tell(entered(member, how="again"))
            store.tell(Left(NAME, member))
        assert (await store.find(NAME)).group is None
        await store.record(entered(ANNA))
        assert (await store.find(NAME)).group == Group(NAME, KEY, {ANNA: b"card"})


async def test_the_largest_group_is_kept_also_when_it_has_moved(opened: Open):
    async with opened() as store:
        members = {MemberId(bytes([n]) * 32): b"card" for n in range(MEMBERS_MAX)}
        *most, last = members
        for member in most:
            store.tell(entered(member))
        store.tell(moving(3))
        await store.record(entered(last))
        assert (await store.find(NAME)).group == Group(NAME, KEY, members, moving(3).notice)


async def test_groups_are_counted(opened: Open):
    async with opened() as store:
        for name in (NAME, OTHER):
            assert store.takes_groups
            store.tell(entered(ANNA, name=name))
            await store.find(name)
        assert (store.groups, store.takes_groups) == (2, False)
        store.tell(Left(OTHER, ANNA))
        await store.find(OTHER)
        assert (store.groups, store.takes_groups) == (1, True)


steps = st.lists(
    st.tuples(
        st.sampled_from(["joins", "card", "exits", "leaves"]),
        st.sampled_from([NAME, OTHER]),
        st.sampled_from([ANNA, BEN]),
        st.binary(max_size=3),
    ),
    max_size=20,
)


@given(steps)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_any_story_ends_as_it_was_told(
    opened: Open, story: list[tuple[str, bytes, MemberId, bytes]]
):
    expected: dict[bytes, dict[MemberId, bytes]] = {NAME: {}, OTHER: {}}
    online: set[tuple[bytes, MemberId]] = set()

    async def play() -> None:
        async with opened() as store:
            for name in (NAME, OTHER):
                for member in (ANNA, BEN):
                    store.tell(Left(name, member))
            for what, name, member, card in story:
                is_there = (name, member) in online
                if what == "joins" or (what == "card" and is_there):
                    how: How = "joins" if what == "joins" else "card"
                    store.tell(entered(member, card, name=name, how=how))
                    expected[name][member] = card
                    online.add((name, member))
                elif what == "exits" and is_there:
                    store.tell(Exited(name, member))
                    online.discard((name, member))
                elif what == "leaves" and is_there:
                    store.tell(Left(name, member))
                    del expected[name][member]
                    online.discard((name, member))
        async with opened() as store:
            for name, members in expected.items():
                assert await store.find(name) == Found(
                    Group(name, KEY, members) if members else None
                )

    asyncio.run(play())


def test_what_is_no_redis_is_said_without_its_password():
    for url in ("http://user:secret@host", "nonsense"):
        with pytest.raises(StoreError, match="no URL of a Redis") as error:
            RedisStore(url, Limits(), random_bytes=counted_bytes(), jitter=random.Random(1))
        assert "secret" not in str(error.value)


async def test_a_redis_that_is_not_there_is_said_without_its_password(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("signaling.stores.shared.OPEN_TIMEOUT_S", 0.2)
    store = RedisStore(
        "redis://user:secret@127.0.0.1:1/0",
        Limits(),
        random_bytes=counted_bytes(),
        jitter=random.Random(1),
    )
    with pytest.raises(StoreError, match="Redis cannot be used") as error:
        await store.open(Hearing())
    assert "secret" not in str(error.value) + caplog.text
