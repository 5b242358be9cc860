"""What an operator sees of a server: its pages, its metrics, its log, and how it ends."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import aiohttp
import pytest

from signaling import logs
from signaling.config import Limits
from signaling.messages import Absent, Arrived, Failed, Report, Signal
from tests.signaling.test_life import running, until
from tests.support.members import a_member, counted_bytes
from tests.support.raw_client import member, metric, raw_client, running_server
from tests.support.registry import Registry

ANNA, BEN = a_member("anna"), a_member("ben")
GUESSER = a_member("eve", password="wrong")


async def page(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_a_server_says_that_it_lives_and_that_it_is_ready(tmp_path: Path):
    store = Registry()
    async with running(store, tmp_path) as url:
        assert await page(url + "/healthz") == (200, "ok\n")
        assert await page(url + "/readyz") == (200, "ok\n")
        store.is_ready = False
        assert await page(url + "/healthz") == (200, "ok\n")
        assert await page(url + "/readyz") == (503, "no\n")


async def test_strangers_find_no_metrics_at_the_public_port(tmp_path: Path):
    async with running_server(tmp_path) as url:
        assert (await page(url + "/metrics"))[0] == 404


async def test_what_happens_is_counted(tmp_path: Path):
    limits = Limits(connects_per_address=(0.001, 5))
    async with running_server(tmp_path, limits=limits) as url:
        async with member(url, ANNA, create=True) as anna, member(url, BEN) as ben:
            assert isinstance(await anna.hear(), Arrived)
            await anna.say(Signal(BEN.member_id, b"x"))
            await ben.hear()
            await anna.say(Signal(GUESSER.group_public_key, b"x"))
            assert isinstance(await anna.hear(), Absent)
            for outcome in ("direct", "direct", "relay", "failed"):
                await anna.say(Report(outcome))  # type: ignore[arg-type]
            await anna.say(b"junk")
            assert isinstance(await anna.hear(), Failed)
            async with raw_client(url) as client:
                await client.join(GUESSER)
            assert await metric(url, "members_online") == 1
            assert await metric(url, "groups_open") == 1
        async with raw_client(url), raw_client(url):
            assert await metric(url, "connections") == 2
            with pytest.raises(aiohttp.WSServerHandshakeError):
                async with raw_client(url):
                    pass
        assert await metric(url, "groups") == 1
        assert await metric(url, "joins_total") == 2
        assert await metric(url, "signals_total", fate="passed") == 1
        assert await metric(url, "signals_total", fate="absent") == 1
        assert await metric(url, "messages_total", kind="signal") == 2
        assert await metric(url, "link_outcomes_total", outcome="direct") == 2
        assert await metric(url, "link_outcomes_total", outcome="relay") == 1
        assert await metric(url, "link_outcomes_total", outcome="failed") == 1
        assert await metric(url, "refusals_total", reason="wrong_password") == 1
        assert await metric(url, "refusals_total", reason="bad_message") == 1
        assert await metric(url, "connections_refused_total", reason="address_rate") == 1
        assert await metric(url, "store_ready") == 1


async def test_who_is_connected_is_asked_to_come_back_each_at_another_time(tmp_path: Path):
    members = [a_member(f"member {number}") for number in range(8)]
    async with asyncio.timeout(10):
        async with running_server(tmp_path) as url:
            contexts = [member(url, one, create=True) for one in members]
            clients = [await context.__aenter__() for context in contexts]
        later: list[float] = []
        for client in clients:
            while not isinstance(heard := await client.hear(), Failed):
                pass
            assert heard.code == "restarting"
            later.append(heard.retry_after_s)
            assert await client.is_closed()
        for context in contexts:
            await context.__aexit__(None, None, None)
    assert min(later) >= 1.0
    assert len(set(later)) == len(later)


def a_record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("covey.x", logging.WARNING, "", 0, message, arguments, None)


def test_a_line_of_the_json_log_is_one_object():
    line = logs.JsonFormatter().format(a_record("it's %s\nand more", "so"))
    assert "\n" not in line
    told = json.loads(line)
    assert told.pop("time").endswith("+00:00")
    assert told == {"level": "warning", "logger": "covey.x", "message": "it's so\nand more"}


def test_an_error_is_in_the_json_log_with_its_traceback():
    record = a_record("broken")
    try:
        raise ValueError("why")
    except ValueError as error:
        record.exc_info = (ValueError, error, error.__traceback__)
    told = json.loads(logs.JsonFormatter().format(record))
    assert "ValueError: why" in told["error"]


def test_an_address_has_one_tag_for_a_day_and_another_one_the_next_day():
    tags = logs.Tags(counted_bytes("salt"))
    tag = tags.tag("192.0.2.1", now=0.0)
    assert tags.tag("192.0.2.1", now=86_399.0) == tag
    assert tags.tag("::ffff:192.0.2.1", now=86_399.0) == tag
    assert tags.tag("192.0.2.2", now=86_399.0) != tag
    assert tags.tag("192.0.2.1", now=86_400.0) != tag
    assert tags.tag("2001:db8::1", now=86_400.0) == tags.tag("2001:db8::2", now=86_400.0)
    assert logs.Tags(counted_bytes("another server")).tag("192.0.2.1", now=0.0) != tag


def test_an_attacker_cannot_fill_the_log(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="covey")
    refusals = logs.Refusals(counted_bytes(), now=0.0)
    for number in range(10_000):
        refusals.write("192.0.2.1", "wrong_password", now=number / 1000)
    assert 100 <= len(caplog.records) <= 130


async def test_a_refusal_is_in_the_log_without_the_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO, logger="covey")
    async with running_server(tmp_path) as url, member(url, ANNA, create=True):
        for _ in range(2):
            async with raw_client(url, address="127.0.0.2") as client:
                await client.join(GUESSER)
        async with raw_client(url, address="127.0.0.3") as client:
            await client.join(GUESSER)
        await until(lambda: len(refusals_in(caplog)) == 3)
    first, second, third = refusals_in(caplog)
    assert first == second != third
    assert first.endswith(": wrong_password")
    assert "127.0.0" not in first + third


def refusals_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name.endswith("refusals")]
