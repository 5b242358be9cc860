"""Two real servers at one real Redis, behind one address: each may die, and Redis may restart."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from bench.group import covey
from datachannel.joining import OneServer
from datachannel.rendezvous import Rendezvous, Unreachable
from signaling.messages import Joined, MemberId
from tests.support.balancer import balancer
from tests.support.members import a_member, card_of, counted_bytes
from tests.support.raw_client import free_port, raw_client
from tests.support.redis_server import RedisServer, redis_server

pytestmark = [pytest.mark.system, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
GROUPS, MEMBERS = 4, 6
TALK_S = 0.05
"""Between two messages of a member; a server bears 30 a second."""
SOON_S = 90.0
"""A lease runs out after 12 s, and clients come back within a minute, most of them sooner; more on
a busy machine."""


class ServerProcess:
    """`covey serve --store redis://...`"""

    def __init__(self, redis: RedisServer, log: Path) -> None:
        self.metrics, self.log = free_port(), log
        options = ("--store", redis.url, "--metrics", str(self.metrics), "--log", "json")
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                covey("serve", *options),
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        self.port = int(self.url.rpartition(":")[2])

    async def page(self, name: str) -> str:
        url = f"http://127.0.0.1:{self.metrics}/{name}"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return await answer.text()

    async def is_ready(self, says: str) -> None:
        """Wait until /readyz says so."""
        async with asyncio.timeout(SOON_S):
            while await self.page("readyz") != says + "\n":
                pass

    async def online(self) -> int:
        page = await self.page("metrics")
        (line,) = (one for one in page.splitlines() if one.startswith("covey_members_online "))
        return int(float(line.split()[1]))

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def two_servers(redis: RedisServer, folder: Path) -> Iterator[list[ServerProcess]]:
    servers: list[ServerProcess] = []
    try:
        servers += [ServerProcess(redis, folder / f"server {number}.log") for number in range(2)]
        yield servers
    finally:
        for server in servers:
            server.end()


class Member:
    """A real client, which says something to somebody again and again."""

    def __init__(self, url: str, group: int, number: int) -> None:
        self.credentials = a_member(f"member {group} {number}", group=f"group {group}")
        self.rendezvous = Rendezvous(
            servers=OneServer(url),
            credentials=self.credentials,
            card=card_of(self.credentials),
            create=True,
            random_bytes=counted_bytes(f"{group} {number}"),
            jitter=random.Random(f"{group} {number}"),
        )
        self.rendezvous.on_signal = self.hear
        self.heard: set[MemberId] = set()

    def hear(self, sender: MemberId, blob: bytes) -> None:
        assert blob == sender + self.credentials.member_id
        self.heard.add(sender)

    def sees_online(self) -> int:
        if not self.rendezvous.connected:
            return -1
        return sum(friend.online for friend in self.rendezvous.members().values())

    async def talk(self) -> None:
        while True:
            for friend in list(self.rendezvous.members()):
                with suppress(Unreachable):
                    await self.rendezvous.send_signal(friend, self.credentials.member_id + friend)
                await asyncio.sleep(TALK_S)
            await asyncio.sleep(TALK_S)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON_S):
        while not condition():  # noqa: ASYNC110 - the conditions are of several kinds
            await asyncio.sleep(0.05)


async def test_members_meet_whatever_server_dies_and_whether_redis_restarts(tmp_path: Path):
    with redis_server(tmp_path / "redis") as redis, two_servers(redis, tmp_path) as servers:
        async with AsyncExitStack() as stack:
            address = await stack.enter_async_context(balancer([server.port for server in servers]))
            members = [
                Member(address.url, group, number)
                for group in range(GROUPS)
                for number in range(MEMBERS)
            ]
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            running = [tasks.create_task(member.rendezvous.run()) for member in members]
            running += [tasks.create_task(member.talk()) for member in members]

            async def all_meet_and_talk() -> None:
                await until(lambda: all(one.sees_online() == MEMBERS - 1 for one in members))
                for member in members:
                    member.heard.clear()
                await until(lambda: all(len(one.heard) == MEMBERS - 1 for one in members))

            try:
                await all_meet_and_talk()
                both = [await server.online() for server in servers]
                assert both == [GROUPS * MEMBERS // 2] * 2, "the members are on both servers"

                servers[0].process.kill()
                await all_meet_and_talk()
                assert await servers[1].online() == GROUPS * MEMBERS

                redis.kill()
                await servers[1].is_ready("no")
                for member in members:  # at one server, they hear each other without Redis
                    member.heard.clear()
                await until(lambda: all(len(one.heard) == MEMBERS - 1 for one in members))
                redis.start()
                await servers[1].is_ready("ok")
                await all_meet_and_talk()

                late = a_member("late", group="group 0")
                async with raw_client(servers[1].url) as client:
                    answer = await client.join(late)
                    assert isinstance(answer, Joined)
                    assert len(answer.members) == MEMBERS
                lines = servers[1].log.read_text().splitlines()
                assert lines
                assert all(json.loads(line)["message"] for line in lines)
            finally:
                for task in running:
                    task.cancel()
