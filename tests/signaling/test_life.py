"""A server from its start to its end: what it remembers, and whom it does not wait for."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from signaling.config import Limits, ServerConfig
from signaling.messages import SIGNAL_BYTES_MAX, Arrived, Departed, Failed, Joined, Leave, Signal
from signaling.notices import Entered, Group, Left
from signaling.server import Server
from signaling.stores import StoreError, file
from tests.support.members import a_member, counted_bytes
from tests.support.raw_client import address_of, member, raw_client, running_server
from tests.support.registry import Registry

ANNA, BEN = a_member("anna"), a_member("ben")
GUESSER = a_member("eve", password="wrong")


@asynccontextmanager
async def running(store: Registry, data: Path) -> AsyncIterator[str]:
    server = Server(ServerConfig(data), store, counted_bytes("life"), lambda: 0.0)
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the conditions are of several kinds
            await asyncio.sleep(0.005)


async def test_a_change_is_told_once(tmp_path: Path):
    store = Registry()
    async with running(store, tmp_path) as url:
        async with member(url, ANNA, create=True, card=b"card") as it:
            assert store.told == [
                Entered(ANNA.name_id, ANNA.group_public_key, ANNA.member_id, b"card", "joins", True)
            ]
            await it.say(Signal(BEN.member_id, b""))
            await it.hear()
            assert len(store.told) == 1
            await it.say(Leave())
            assert await it.is_closed()
        assert store.told[1:] == [Left(ANNA.name_id, ANNA.member_id)]
    assert store.closed


async def test_while_the_store_is_away_members_stay_and_who_comes_is_sent_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    store = Registry()
    async with running(store, tmp_path) as url, member(url, ANNA, create=True, card=b"a") as anna:
        store.refuses = True
        for newcomer in (BEN, a_member("carla", group="the millers")):
            async with raw_client(url) as client:
                await client.say(client.join_of(newcomer, create=True))
                assert await client.is_closed()
        assert {type(await anna.hear()) for _ in range(2)} == {Arrived, Departed}
        async with member(url, ANNA, card=b"a"):  # her group is in memory, and her card is known
            pass
        store.refuses = False
        async with member(url, BEN):
            pass
    assert "cannot be remembered now: nobody answers" in caplog.text
    assert "cannot be looked up now: nobody answers" in caplog.text


async def test_a_full_disk_ends_nothing_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(file, "SAVE_RETRY_S", 0.01)
    blocker = tmp_path / "groups.new"
    blocker.mkdir()
    async with running_server(tmp_path) as url, member(url, ANNA, create=True):
        await until(lambda: "cannot be remembered now" in caplog.text)
        async with member(url, BEN):
            blocker.rmdir()
            await until((tmp_path / "groups.json").exists)
    members = json.loads((tmp_path / "groups.json").read_bytes())["groups"]["1"]["members"]
    assert set(members) == {ANNA.member_id.hex(), BEN.member_id.hex()}


async def test_a_port_that_is_taken_leaves_the_folder_free(tmp_path: Path):
    async with running_server(tmp_path / "one") as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            async with running_server(tmp_path / "two", port=port):
                pass
    async with running_server(tmp_path / "two"):
        pass


async def test_two_servers_do_not_share_a_folder(tmp_path: Path):
    async with running_server(tmp_path):
        with pytest.raises(StoreError, match="another server"):
            async with running_server(tmp_path):
                pass


async def test_a_server_ends_soon_whoever_is_connected(tmp_path: Path):
    async with asyncio.timeout(8):
        async with running_server(tmp_path, limits=Limits(close_timeout_s=0.1)) as url:
            _, silent = await asyncio.open_connection(*address_of(url))
            anna = member(url, ANNA, create=True)
            await anna.__aenter__()
        await anna.__aexit__(None, None, None)
        silent.close()
        await silent.wait_closed()
    assert json.loads((tmp_path / "groups.json").read_bytes())["groups"]


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.BaseProtocol]:
    """The server's end of each WebSocket. One that pauses writing has a client who reads nothing,
    and as much in its buffer as fits."""
    writers: list[asyncio.BaseProtocol] = []
    prepare = web.WebSocketResponse.prepare

    async def seen(socket: web.WebSocketResponse, request: web.BaseRequest):
        writers.append(request.protocol)
        return await prepare(socket, request)

    monkeypatch.setattr(web.WebSocketResponse, "prepare", seen)
    return writers


async def test_who_reads_nothing_does_not_keep_its_connection_after_a_no(
    tmp_path: Path, writers: list[asyncio.BaseProtocol]
):
    limits = Limits(send_timeout_s=0.05)
    async with (
        running_server(tmp_path, limits=limits) as url,
        member(url, ANNA, create=True) as first,
    ):
        reading = first.socket._conn.transport  # type: ignore[union-attr]
        reading.pause_reading()
        writers[0].pause_writing()
        async with member(url, ANNA) as second, asyncio.timeout(5):
            while writers[0].connected:  # type: ignore[attr-defined]  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
            await second.say(Signal(BEN.member_id, b"members stay"))
            await second.hear()
        reading.abort()


async def test_who_reads_nothing_does_not_hold_up_the_end_of_the_server(
    tmp_path: Path, writers: list[asyncio.BaseProtocol]
):
    async with asyncio.timeout(4):
        async with running_server(tmp_path, limits=Limits(close_timeout_s=0.05)) as url:
            anna = member(url, ANNA, create=True)
            await anna.__aenter__()
            writers[0].pause_writing()
        await anna.__aexit__(None, None, None)
    assert json.loads((tmp_path / "groups.json").read_bytes())["groups"]


async def test_behind_our_proxy_each_client_has_its_own_address(tmp_path: Path):
    limits = Limits(wrong_passwords_per_address=(0.001, 1))
    async with running_server(tmp_path, limits=limits) as url:
        name = url.removeprefix("http://")

        async def code_for(forwarded: str, person=GUESSER) -> str:
            headers = {"Host": name, "X-Forwarded-For": forwarded}
            async with raw_client(url, headers) as client:
                answer = await client.join(person)
                return answer.code if isinstance(answer, Failed) else "joined"

        async with member(url, ANNA, create=True):
            assert await code_for("192.0.2.1") == "wrong_password"
            assert await code_for("192.0.2.1") == "rate_limited"
            assert await code_for("203.0.113.9, 192.0.2.1") == "rate_limited"  # it said the first
            assert await code_for("192.0.2.1, 192.0.2.2") == "wrong_password"
            assert await code_for("192.0.2.3", BEN) == "joined"


async def test_only_our_proxies_are_believed(tmp_path: Path):
    limits = Limits(wrong_passwords_per_address=(0.001, 1))
    async with running_server(tmp_path, limits=limits, proxies=()) as url:
        name = url.removeprefix("http://")
        async with member(url, ANNA, create=True):
            for forwarded, code in (("192.0.2.1", "wrong_password"), ("192.0.2.2", "rate_limited")):
                headers = {"Host": name, "X-Forwarded-For": forwarded}
                async with raw_client(url, headers) as client:
                    answer = await client.join(GUESSER)
                    assert isinstance(answer, Failed)
                    assert answer.code == code


def test_a_slow_reader_is_dropped_on_the_fast_loop_too(tmp_path: Path):
    uvloop = pytest.importorskip("uvloop")
    limits = Limits(
        outgoing_bytes_max=64 << 10,
        messages_per_connection=(1e4, 10**5),
        signal_bytes_per_connection=(1e9, 10**9),
    )

    async def play() -> None:
        async with (
            running_server(tmp_path, limits=limits) as url,
            member(url, ANNA, create=True) as anna,
            member(url, BEN) as ben,
        ):
            assert isinstance(await anna.hear(), Arrived)
            reading = ben.socket._conn.transport  # type: ignore[union-attr]
            reading.pause_reading()
            gone = asyncio.create_task(anna.hear())
            while not gone.done():
                await anna.say(Signal(BEN.member_id, bytes(SIGNAL_BYTES_MAX)))
            assert await gone == Departed(BEN.member_id)
            reading.resume_reading()

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await play()

    uvloop.run(bounded())


async def test_the_joined_answer_of_a_full_group_arrives(tmp_path: Path):
    members = {a_member(f"member {number}").member_id: bytes(4096) for number in range(255)}
    group = Group(ANNA.name_id, ANNA.group_public_key, members)
    async with running(Registry([group]), tmp_path) as url, raw_client(url) as client:
        answer = await client.join(ANNA)
        assert isinstance(answer, Joined)
        assert len(answer.members) == 255


async def test_junk_before_the_websocket_leaves_no_trace_of_an_address_in_our_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    async with running_server(tmp_path) as url:
        reader, writer = await asyncio.open_connection(*address_of(url))
        writer.write(b"GET / HTTP/9.9\r\nnonsense\r\n\r\n")
        await reader.read(1000)
        writer.close()
    assert not any("127.0.0.1" in r.getMessage() for r in caplog.records if "covey" in r.name)
