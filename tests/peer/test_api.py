from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from peer import api
from peer.service import Problem
from tests.support.fake_service import ODD_PATH, FakeService


@pytest.fixture
def api_file(tmp_path: Path) -> Path:
    return tmp_path / "api.json"


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
async def client(service: FakeService, api_file: Path) -> AsyncIterator[api.ApiClient]:
    async with (
        api.serve_api(service, api_file, random_bytes=lambda count: b"r" * count),
        api.connect(api_file) as connected,
    ):
        yield connected


async def test_every_call_answers_what_the_service_answers(
    client: api.ApiClient, service: FakeService
):
    assert await client.status() == await service.status()
    assert await client.friends() == await service.friends()
    assert await client.snapshots() == await service.snapshots()
    assert await client.space() == await service.space()
    assert await client.history() == await service.history()
    assert await client.keep("9 daily") == await service.keep("9 daily")
    assert await client.confirm() == await service.confirm()
    assert await client.forget("abcd") == await service.forget("abcd")
    assert await client.ls("latest", "/home") == await service.ls("latest", "/home")
    found = [event async for event in service.find("*.jpg")]
    assert [event async for event in client.find("*.jpg")] == found


async def test_paths_that_are_not_utf8_come_through_whole(
    client: api.ApiClient, service: FakeService
):
    assert await client.mark([ODD_PATH]) == [ODD_PATH]
    assert service.kept == [ODD_PATH]
    assert await client.marks() == [ODD_PATH]
    assert await client.unmark([ODD_PATH]) == []


async def test_long_work_tells_its_events_in_order(client: api.ApiClient, service: FakeService):
    assert [event async for event in client.backup()] == service.events
    assert [event async for event in client.check("data", 12.5)] == service.events
    restored = client.restore("latest", "/to", ["/a"], "never")
    assert [event async for event in restored] == service.events
    assert service.calls == [
        ("backup", None),
        ("check", ("data", 12.5)),
        ("restore", ("latest", "/to", ["/a"], "never", False)),
    ]


async def test_a_problem_arrives_with_its_next_step(client: api.ApiClient, service: FakeService):
    service.problem = Problem("Nothing is marked.", "Mark a folder.", code="no_marks")
    with pytest.raises(Problem) as caught:
        await client.status()
    assert (caught.value.text, caught.value.next_step, caught.value.code) == (
        "Nothing is marked.",
        "Mark a folder.",
        "no_marks",
    )
    with pytest.raises(Problem) as caught:
        _ = [event async for event in client.backup()]
    assert caught.value.code == "no_marks"


async def test_a_fault_inside_tells_nothing_of_the_inside(
    client: api.ApiClient, service: FakeService, caplog: pytest.LogCaptureFixture
):
    service.problem = RuntimeError("a secret detail")
    with pytest.raises(Problem) as caught:
        await client.status()
    assert caught.value.code == "internal"
    assert "secret" not in str(caught.value)
    with pytest.raises(Problem, match="fault of its own"):
        _ = [event async for event in client.backup()]
    assert "the call status failed" in caplog.text


async def test_work_ends_when_the_caller_hangs_up(client: api.ApiClient, service: FakeService):
    service.events, service.hang = service.events[:1], True
    events = client.backup()
    assert (await anext(events))["stage"] == "scan"
    await events.aclose()
    await asyncio.wait_for(service.closed_early.wait(), 5)


async def test_an_agent_that_ends_in_the_middle_is_noticed(service: FakeService, api_file: Path):
    service.events, service.hang = service.events[:1], True
    serving = api.serve_api(service, api_file, random_bytes=bytes)
    await serving.__aenter__()
    async with api.connect(api_file) as client:
        events = client.backup()
        await anext(events)
        stopping = asyncio.ensure_future(serving.__aexit__(None, None, None))
        with pytest.raises(Problem, match="went away"):
            await anext(events)
        with pytest.raises(Problem, match="went away"):
            await client.status()
        await stopping


async def test_work_without_an_outcome_is_not_taken_for_success(
    client: api.ApiClient, service: FakeService
):
    service.events = service.events[:1]
    with pytest.raises(Problem, match="went away"):
        _ = [event async for event in client.backup()]


async def test_the_door_is_closed_to_other_users_and_removed_at_the_end(
    service: FakeService, api_file: Path
):
    async with api.serve_api(service, api_file, random_bytes=bytes):
        assert stat.S_IMODE(api_file.stat().st_mode) == 0o600
    assert not api_file.exists()
    with pytest.raises(Problem) as caught:
        async with api.connect(api_file):
            pass
    assert caught.value.code == "no_agent"


async def test_the_door_of_another_process_does_not_count(service: FakeService, api_file: Path):
    async with api.serve_api(service, api_file, random_bytes=bytes):
        with pytest.raises(Problem) as caught:
            async with api.connect(api_file, pid=1):
                pass
    assert caught.value.code == "no_agent"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "{token}", "Origin": "http://127.0.0.1"}, 403),
        ({"Authorization": "{token}", "Host": "evil.example"}, 403),
        ({"Authorization": "{token}", "Host": "127.0.0.1:1"}, 403),
        ({"Authorization": "{token}"}, 200),
    ],
)
async def test_only_the_owner_at_this_very_address_is_answered(
    service: FakeService, api_file: Path, headers: dict[str, str], status: int
):
    async with (
        api.serve_api(service, api_file, random_bytes=lambda count: b"r" * count) as port,
        aiohttp.ClientSession() as http,
    ):
        token = json.loads(api_file.read_text())["token"]
        sent = {name: value.format(token=f"Bearer {token}") for name, value in headers.items()}
        async with http.post(f"http://127.0.0.1:{port}/v1/status", headers=sent) as response:
            assert response.status == status
            assert (b"smiths" in await response.read()) == (status == 200)


@pytest.mark.parametrize("body", ["{", "[]", '{"paths": "x"}', '{"other": 1}', '{"paths": [1]}'])
async def test_a_request_that_is_not_understood_is_refused(
    client: api.ApiClient, api_file: Path, service: FakeService, body: str
):
    door = json.loads(api_file.read_text())
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {door['token']}"}) as http,
        http.post(f"http://127.0.0.1:{door['port']}/v1/mark", data=body) as response,
    ):
        assert response.status == 409
        assert (await response.json())["code"] == "bad_request"
    assert service.calls == []
