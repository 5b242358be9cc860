"""TURN credentials: what coturn computes too, for members only, and saying nothing of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from peer.cli.app import covey
from signaling.messages import (
    ICE_SERVERS_MAX,
    Failed,
    IceServer,
    IceServers,
    Joined,
    MemberId,
    RenewIce,
)
from signaling.turn import (
    SECRET_CHARS_MIN,
    Relays,
    TurnConfig,
    TurnError,
    password_of,
    pseudonym_of,
    read_secret,
)
from tests.support.members import a_member
from tests.support.raw_client import member, metric, raw_client, running_server

SECRET = "north" * 5
UDP, TLS = "turn:turn.example:3478?transport=udp", "turns:turn.example:5349?transport=tcp"
TURN = TurnConfig((UDP, TLS), SECRET)
ANNA, BEN = a_member("anna"), a_member("ben")
GUESSER = a_member("eve", password="wrong")
NOW = 1_800_000_000.9
ids = st.binary(min_size=32, max_size=32)


def grant_to(member: bytes, *, now: float = NOW, name_id: bytes = b"g" * 32) -> IceServers:
    return Relays((), TURN, lambda: now).grant(name_id, MemberId(member))


def test_the_password_is_the_one_that_coturn_computes():
    # echo -n 1800003600:covey | openssl dgst -sha1 -hmac northnorthnorthnorthnorth -binary | base64
    assert password_of(SECRET, "1800003600:covey") == "OtKY+OHV90z+ZrUSMGRdWBrKG6o="


def test_a_member_gets_every_turn_server_and_stun_at_those_over_udp():
    given_ = grant_to(b"a" * 32)
    username = given_.servers[0].username
    password = password_of(SECRET, username)
    assert username.startswith("1800003600:")
    assert given_.lifetime_s == 3600.0
    assert given_.servers == (
        IceServer((UDP,), username, password),
        IceServer((TLS,), username, password),
        IceServer(("stun:turn.example:3478",)),
    )


@given(ids, ids, ids)
def test_the_name_says_nothing_of_the_member_and_is_its_own_for_a_day(
    name_id: bytes, one: bytes, other: bytes
):
    def name_of(member: bytes, now: float = NOW) -> str:
        return grant_to(member, now=now, name_id=name_id).servers[0].username.partition(":")[2]

    assert one.hex()[:8] not in name_of(one)
    assert name_of(one) == name_of(one, NOW + 1)
    assert name_of(one) != name_of(one, NOW + 86_400)
    assert (name_of(one) == name_of(other)) == (one == other)
    assert name_of(one) != pseudonym_of("another secret", name_id, MemberId(one), day=20_833)


def test_without_turn_members_get_the_servers_that_need_no_credentials():
    stun = (IceServer(("stun:stun.example",)),)
    assert Relays(stun, None, lambda: NOW).grant(b"", MemberId(b"")) == IceServers(stun, 0.0)


def test_more_servers_than_a_message_takes_are_never_given():
    fixed = (IceServer(("stun:stun.example",)),) * (ICE_SERVERS_MAX + 3)
    given_ = Relays(fixed, TURN, lambda: NOW).grant(b"", MemberId(b""))
    assert len(given_.servers) == ICE_SERVERS_MAX


@pytest.mark.parametrize(
    ("urls", "secret"),
    [
        ((), SECRET),
        (("stun:turn.example",), SECRET),
        (("https://turn.example",), SECRET),
        (("turn:turn.example?transport=sctp",), SECRET),
        ((UDP,) * ICE_SERVERS_MAX, SECRET),
        ((UDP,), "s" * (SECRET_CHARS_MIN - 1)),
    ],
)
def test_what_makes_no_sense_is_refused_at_the_start(urls: tuple[str, ...], secret: str):
    with pytest.raises(TurnError) as refused:
        TurnConfig(urls, secret)
    assert secret not in str(refused.value)


def test_the_secret_is_never_shown():
    assert SECRET not in repr(TURN)


def test_the_secret_is_the_first_line_of_its_file(tmp_path: Path):
    file = tmp_path / "secret"
    file.write_bytes(SECRET.encode() + b"  \r\nanother\n")
    assert read_secret(file) == SECRET
    for rubbish in (b"\xff" * 40, b"x" * 5000, b"a\0b" * 20):
        file.write_bytes(rubbish)
        with pytest.raises(TurnError):
            read_secret(file)


@pytest.mark.parametrize(
    "options",
    [
        ["--turn", UDP],
        ["--turn-secret-file", "FILE"],
        ["--turn", "turn.example", "--turn-secret-file", "FILE"],
        ["--stun", "stun.example"],
        ["--stun", UDP],
    ],
)
def test_serve_says_what_is_wrong_with_its_turn_options(options: list[str], tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text(SECRET)
    words = [str(file) if word == "FILE" else word for word in options]
    done = CliRunner().invoke(covey, ["serve", *words])
    assert done.exit_code == 2
    assert SECRET not in done.output


# --- over the wire --------------------------------------------------------------------------


@pytest.fixture
async def url(tmp_path: Path):
    async with running_server(tmp_path, turn=TURN) as url:
        yield url


async def test_members_get_credentials_when_they_join_and_when_they_ask(url: str):
    async with raw_client(url) as client:
        welcome = await client.join(ANNA, create=True)
        assert isinstance(welcome, Joined)
        assert welcome.ice_servers[0].urls == (UDP,)
        assert welcome.ice_lifetime_s == TURN.lifetime_s
        await client.say(RenewIce())
        fresh = await client.hear()
        assert isinstance(fresh, IceServers)
        assert [one.urls for one in fresh.servers] == [one.urls for one in welcome.ice_servers]
    assert await metric(url, "turn_grants_total") == 2


async def test_each_member_has_credentials_of_its_own(url: str):
    names = set()
    for credentials in (ANNA, BEN):
        async with raw_client(url) as client:
            welcome = await client.join(credentials, create=True)
            assert isinstance(welcome, Joined)
            names.add(welcome.ice_servers[0].username.partition(":")[2])
    assert len(names) == 2


async def test_nobody_gets_credentials_before_joining(url: str):
    async with raw_client(url) as client:
        await client.say(RenewIce())
        answer = await client.hear()
        assert isinstance(answer, Failed)
        assert answer.code == "bad_message"
        assert await client.is_closed()
    assert await metric(url, "turn_grants_total") == 0


async def test_who_does_not_know_the_password_gets_no_credentials(url: str):
    async with member(url, ANNA, create=True), raw_client(url) as client:
        assert isinstance(await client.join(GUESSER), Failed)
        assert await client.is_closed()
    assert await metric(url, "turn_grants_total") == 1
