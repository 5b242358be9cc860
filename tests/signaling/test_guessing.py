"""Who tries passwords at the real server, from one address and from another."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from signaling.config import Limits
from signaling.messages import Failed, Joined
from tests.support.members import a_member
from tests.support.raw_client import member, raw_client, running_server

ANNA, BEN, CARLA = a_member("anna"), a_member("ben"), a_member("carla")
GUESSER = a_member("eve", password="wrong")
HOME, ELSEWHERE = "127.0.0.1", "127.0.0.2"

two_addresses = pytest.mark.skipif(
    sys.platform != "linux", reason="only there all of 127.0.0.0/8 is this computer"
)


def said(answer: Joined | Failed) -> str:
    return answer.code if isinstance(answer, Failed) else "joined"


@two_addresses
async def test_a_guesser_makes_strangers_wait_at_its_own_address_only(tmp_path: Path):
    limits = Limits(wrong_passwords_per_address=(0.001, 3))
    async with running_server(tmp_path, limits=limits) as url, member(url, ANNA, create=True):
        heard = []
        for _ in range(5):
            async with raw_client(url, address=ELSEWHERE) as client:
                heard.append(said(await client.join(GUESSER, create=True)))
        assert heard == ["wrong_password"] * 3 + ["rate_limited"] * 2
        async with raw_client(url, address=ELSEWHERE) as client:
            assert said(await client.join(BEN)) == "rate_limited"
        async with raw_client(url, address=HOME) as client:
            assert said(await client.join(BEN)) == "joined"
        async with raw_client(url, address=ELSEWHERE) as client:  # Ben is a member by now
            assert said(await client.join(BEN)) == "joined"


@two_addresses
async def test_guessers_at_many_addresses_never_lock_a_group_out(tmp_path: Path):
    limits = Limits(wrong_passwords_per_group=(0.001, 2))
    async with running_server(tmp_path, limits=limits) as url, member(url, ANNA, create=True):
        heard = []
        for number in (2, 3, 2, 3):
            async with raw_client(url, address=f"127.0.0.{number}") as client:
                heard.append(said(await client.join(GUESSER)))
        assert heard == ["wrong_password"] * 2 + ["rate_limited"] * 2
        async with raw_client(url, address="127.0.0.2") as client:  # who guessed waits for it
            assert said(await client.join(BEN)) == "rate_limited"
        async with raw_client(url) as client:  # and a newcomer elsewhere does not
            assert said(await client.join(CARLA)) == "joined"
        async with raw_client(url) as client:
            assert said(await client.join(ANNA)) == "joined"


async def test_who_claims_to_be_a_member_with_a_wrong_password_is_a_guesser(tmp_path: Path):
    limits = Limits(wrong_passwords_per_address=(0.001, 1))
    mistaken = a_member("anna", password="wrong")
    assert mistaken.member_id == ANNA.member_id
    async with running_server(tmp_path, limits=limits) as url:
        async with member(url, ANNA, create=True), raw_client(url) as client:
            assert said(await client.join(mistaken)) == "wrong_password"
        async with raw_client(url) as client:
            assert said(await client.join(BEN)) == "rate_limited"


@pytest.mark.parametrize("create", [False, True])
async def test_a_wrong_password_is_wrong_after_a_restart_too(tmp_path: Path, create: bool):
    async with running_server(tmp_path) as url, member(url, ANNA, create=True):
        pass
    async with running_server(tmp_path) as url:
        async with raw_client(url) as client:
            assert said(await client.join(GUESSER, create=create)) == "wrong_password"
        async with raw_client(url) as client:
            assert said(await client.join(BEN, create=create)) == "joined"
