"""A real coturn with deploy/coturn.conf: it relays for members, to nothing that lies behind it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bench.group import covey
from signaling.messages import IceServer, Joined, MemberId, RenewIce
from signaling.turn import Relays, TurnConfig
from tests.support.members import a_member
from tests.support.raw_client import raw_client
from tests.support.turn_server import TCP, TurnClient, TurnServer, turn_server

pytestmark = [pytest.mark.system, pytest.mark.slow]

ANNA = a_member("anna")
FORBIDDEN, NOT_AUTHORIZED, NOT_SUPPORTED, QUOTA = 403, 401, 442, 486
HOSTILE_V4 = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",  # where clouds keep the credentials of the machine
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
]
HOSTILE_V6 = [
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:192.168.1.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::a00:1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "fc00::1",
    "fd12:3456:789a::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.fixture(scope="module")
def coturn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TurnServer]:
    with turn_server(tmp_path_factory.mktemp("coturn")) as server:
        yield server


def granted(server: TurnServer, *, ago_s: float = 0.0, secret: str = "") -> IceServer:
    """What a member was given by a covey server so long ago."""
    turn = TurnConfig((server.url,), secret or server.secret)
    return (
        Relays((), turn, lambda: time.time() - ago_s)
        .grant(b"g" * 32, MemberId(os.urandom(32)))
        .servers[0]
    )


def client_of(server: TurnServer, grant: IceServer) -> TurnClient:
    return TurnClient(server.port, grant.username, grant.credential)


def test_a_members_credentials_make_a_relay_to_the_internet(coturn: TurnServer):
    with closing(client_of(coturn, granted(coturn))) as client:
        assert client.allocate() == 0
        assert client.relayed is not None
        assert client.relayed[0] == "127.0.0.1"  # of this test's machine; a public one otherwise
        assert 49_152 <= client.relayed[1] <= 49_999
        assert client.permit("1.1.1.1") == 0
        assert client.bind("8.8.8.8") == 0


def test_credentials_that_have_run_out_are_refused(coturn: TurnServer):
    with closing(client_of(coturn, granted(coturn, ago_s=3601.0))) as client:
        assert client.allocate() == NOT_AUTHORIZED


def test_credentials_of_another_secret_are_refused(coturn: TurnServer):
    with closing(client_of(coturn, granted(coturn, secret="another" * 4))) as client:
        assert client.allocate() == NOT_AUTHORIZED


def test_while_a_secret_is_changed_the_old_one_is_good_too(tmp_path: Path):
    old = "the secret until yesterday"
    with turn_server(tmp_path, old_secret=old) as server:
        for secret in (server.secret, old):
            with closing(client_of(server, granted(server, secret=secret))) as client:
                assert client.allocate() == 0


def test_an_expiry_that_a_member_puts_off_itself_is_refused(coturn: TurnServer):
    grant = granted(coturn)
    expiry, _, pseudonym = grant.username.partition(":")
    later = f"{int(expiry) + 3600}:{pseudonym}"
    with closing(TurnClient(coturn.port, later, grant.credential)) as client:
        assert client.allocate() == NOT_AUTHORIZED


def test_nobody_relays_without_credentials(coturn: TurnServer):
    for name, password in [("", ""), ("covey", "covey"), ("4000000000:x", "")]:
        with closing(TurnClient(coturn.port, name, password)) as client:
            assert client.allocate() == NOT_AUTHORIZED


@pytest.mark.parametrize("peer", HOSTILE_V4)
def test_a_relay_to_what_lies_behind_the_server_is_refused(coturn: TurnServer, peer: str):
    with closing(client_of(coturn, granted(coturn))) as client:
        assert client.allocate() == 0
        assert client.permit(peer) == FORBIDDEN
        assert client.bind(peer) == FORBIDDEN


@pytest.mark.parametrize("peer", HOSTILE_V6)
def test_no_ipv6_address_is_a_way_behind_the_server(coturn: TurnServer, peer: str):
    with closing(client_of(coturn, granted(coturn))) as client:
        assert client.allocate(ipv6=True) == 0
        assert client.permit("2606:4700::1111") == 0  # so that what follows is no accident
        assert client.permit(peer) == FORBIDDEN
        assert client.bind(peer) == FORBIDDEN


def test_nothing_but_udp_is_relayed(coturn: TurnServer):
    with closing(client_of(coturn, granted(coturn))) as client:
        assert client.allocate(transport=TCP) != 0


def test_one_member_takes_no_more_relays_than_its_share(coturn: TurnServer):
    grant = granted(coturn)
    clients = [client_of(coturn, grant) for _ in range(25)]
    try:
        assert [client.allocate() for client in clients] == [0] * 24 + [QUOTA]
    finally:
        for client in clients:
            client.close()


def test_the_secret_is_on_no_command_line_and_in_no_log(coturn: TurnServer):
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if _is_there(path)]
    assert any(b"turnserver" in line for line in lines)
    assert not any(coturn.secret.encode() in line for line in lines)
    assert coturn.secret not in coturn.log.read_text()


def _is_there(path: Path) -> bool:
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


async def test_what_covey_serve_gives_a_member_works_at_coturn(coturn: TurnServer, tmp_path: Path):
    server = await asyncio.create_subprocess_exec(
        *covey("serve", "--data", str(tmp_path), "--turn", coturn.url),
        *("--turn-secret-file", str(coturn.secret_file)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert server.stdout is not None
        url = (await server.stdout.readline()).decode().strip()
        async with raw_client(url) as client:
            welcome = await client.join(ANNA, create=True)
            assert isinstance(welcome, Joined)
            await client.say(RenewIce())
            fresh = await client.hear()
            for turn in (welcome.ice_servers[0], fresh.servers[0]):  # type: ignore[union-attr]
                with closing(client_of(coturn, turn)) as member:
                    assert await asyncio.to_thread(member.allocate) == 0
    finally:
        server.terminate()
        await server.wait()
