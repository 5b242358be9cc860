"""Attacks on the server that docs/threat-model.md lists and that need a server and an attacker."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import aiohttp

from datachannel.credentials import CredentialError, open_card
from signaling.config import Limits
from signaling.messages import Absent, Arrived, Failed, Joined, Signal
from tests.support.members import a_member
from tests.support.raw_client import altered, member, metric, raw_client, running_server

ANNA, BEN, CARLA = a_member("anna"), a_member("ben"), a_member("carla")
GUESSER = a_member("eve", password="wrong")
ELSEWHERE = "127.0.0.2"


async def test_a_flood_of_joins_from_one_address_ends_at_the_door_and_members_talk_on(
    tmp_path: Path,
):
    limits = Limits(connects_per_address=(0.1, 20))
    async with (
        running_server(tmp_path, limits=limits, proxies=()) as url,
        member(url, ANNA, create=True) as anna,
        member(url, BEN) as ben,
    ):
        assert isinstance(await anna.hear(), Arrived)
        heard: list[str] = []

        async def attack(number: int) -> None:
            stranger = a_member(f"stranger {number}", password="wrong")
            try:
                async with raw_client(url, address=ELSEWHERE) as client:
                    answer = await client.join(stranger, create=True)
                    heard.append(answer.code if isinstance(answer, Failed) else "joined")
            except aiohttp.ClientError:
                heard.append("turned away")

        async with asyncio.TaskGroup() as flood:
            for number in range(100):
                flood.create_task(attack(number))
            for number in range(50):
                await anna.say(Signal(BEN.member_id, bytes([number])))
                assert await ben.hear() == Signal(ANNA.member_id, bytes([number]))
        assert len(heard) == 100
        assert heard.count("turned away") >= 79
        assert heard.count("wrong_password") <= 10
        assert "joined" not in heard
        assert await metric(url, "groups") == 1
        async with raw_client(url) as client:  # and newcomers elsewhere come in
            assert isinstance(await client.join(CARLA), Joined)


async def test_a_member_passes_nothing_to_strangers_and_not_much_to_friends(tmp_path: Path):
    stranger = a_member("dora", group="the millers")
    limits = Limits(signal_bytes_per_connection=(100.0, 50_000))
    async with (
        running_server(tmp_path, limits=limits) as url,
        member(url, stranger, create=True) as dora,
        member(url, ANNA, create=True) as anna,
        member(url, BEN) as ben,
    ):
        assert isinstance(await anna.hear(), Arrived)
        await anna.say(Signal(stranger.member_id, b"to another group"))
        assert await anna.hear() == Absent(stranger.member_id)
        carried = 0
        for _ in range(100):
            await anna.say(Signal(BEN.member_id, bytes(10_000)))
        while isinstance(await ben.hear(), Signal):
            carried += 10_000
        assert carried <= 60_000, "and then Anna was cut off: Ben heard that she departed"
        await dora.say(Signal(ANNA.member_id, b""))
        assert await dora.hear() == Absent(ANNA.member_id), "nothing came before it"


async def test_a_stolen_database_opens_no_group(tmp_path: Path):
    async with running_server(tmp_path / "one") as url, member(url, ANNA, create=True):
        pass
    stolen = tmp_path / "stolen"
    shutil.copytree(tmp_path / "one", stolen)
    (row,) = json.loads((stolen / "groups.json").read_bytes())["groups"].values()
    ((anna, card),) = row["members"].items()
    assert anna == ANNA.member_id.hex()
    for thief in (GUESSER, BEN):  # with another password, and, to compare, with the right one
        try:
            open_card(thief, ANNA.member_id, bytes.fromhex(card))
        except CredentialError:
            assert thief is GUESSER
        else:
            assert thief is BEN
    async with running_server(stolen) as url:
        async with raw_client(url) as client:  # the public key is no password
            join = client.join_of(GUESSER)
            await client.say(altered(join, group_key=bytes.fromhex(row["group_key"])))
            answer = await client.hear()
            assert isinstance(answer, Failed)
            assert answer.code == "bad_signature"
        async with raw_client(url) as client:  # nor is the card that of a member
            forged = altered(client.join_of(GUESSER), card=bytes.fromhex(card))
            await client.say(forged)
            answer = await client.hear()
            assert isinstance(answer, Failed)
            assert answer.code == "bad_signature"


async def test_a_copy_of_the_database_taken_at_any_time_is_a_backup(tmp_path: Path):
    """As docs/operating.md promises: the file is always whole."""
    copies: list[Path] = []
    async with running_server(tmp_path / "one") as url, member(url, ANNA, create=True):
        for number in range(20):
            async with member(url, a_member(f"member {number}")):
                source = tmp_path / "one" / "groups.json"
                if source.exists():
                    copies.append(tmp_path / f"copy {number}")
                    copies[-1].mkdir()
                    shutil.copy(source, copies[-1] / "groups.json")
    assert copies
    for copy in copies:
        async with running_server(copy) as url, raw_client(url) as client:
            assert isinstance(await client.join(ANNA), Joined)
