"""The real server, in process, spoken to by real WebSockets."""

from __future__ import annotations

import asyncio
import base64
import logging
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from datachannel.credentials import Credentials
from signaling.config import Limits
from signaling.messages import (
    CARD_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    SIGNAL_BYTES_MAX,
    Absent,
    Arrived,
    Departed,
    Failed,
    FromClient,
    FromServer,
    IceServer,
    Joined,
    Leave,
    Removed,
    Signal,
    UpdateCard,
    encode,
)
from signaling.stores import StoreError
from tests.support.members import a_member
from tests.support.raw_client import (
    altered,
    member,
    metric,
    raw_client,
    running_server,
    signed_join,
)

ANNA, BEN, CARLA = a_member("anna"), a_member("ben"), a_member("carla")
STRANGER = a_member("dora", group="the millers")
GUESSER = a_member("eve", password="wrong")


@pytest.fixture
async def url(tmp_path: Path):
    async with running_server(tmp_path) as url:
        yield url


def code_of(answer: object) -> str:
    assert isinstance(answer, Failed), answer
    return answer.code


async def test_a_group_is_made_only_when_asked_for(url: str):
    async with raw_client(url) as client:
        assert code_of(await client.join(ANNA)) == "unknown_group"
        assert await client.is_closed()
    async with raw_client(url) as client:
        first = await client.join(ANNA, create=True)
        assert isinstance(first, Joined)
        assert first.created
    async with raw_client(url) as client:
        second = await client.join(BEN, create=True)
        assert isinstance(second, Joined)
        assert not second.created
        assert [(one.member, one.online) for one in second.members] == [(ANNA.member_id, False)]


async def test_a_wrong_password_is_refused_also_when_creating(url: str):
    async with member(url, ANNA, create=True), raw_client(url) as client:
        assert code_of(await client.join(GUESSER, create=True)) == "wrong_password"
        assert await client.is_closed()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name_id", STRANGER.name_id),
        ("group_key", STRANGER.group_public_key),
        ("identity_key", BEN.identity_public_key),
        ("create", False),
        ("card", b"another"),
        ("group_signature", bytes(64)),
        ("identity_signature", bytes(64)),
    ],
)
async def test_signatures_cover_every_field_of_a_join(url: str, field: str, value: Any):
    async with raw_client(url) as client:
        await client.say(altered(client.join_of(ANNA, create=True), **{field: value}))
        assert code_of(await client.hear()) == "bad_signature"


@pytest.mark.parametrize(("name", "nonce"), [("elsewhere.example", None), (None, bytes(32))])
async def test_signatures_cover_the_server_and_the_connection(
    url: str, name: str | None, nonce: bytes | None
):
    async with raw_client(url) as client:
        join = signed_join(ANNA, name or client.name, nonce or client.challenge.nonce, create=True)
        await client.say(join)
        assert code_of(await client.hear()) == "bad_signature"


async def test_a_join_overheard_elsewhere_is_worth_nothing(url: str):
    async with raw_client(url) as client, raw_client(url) as thief:
        join = client.join_of(ANNA, create=True)
        await client.say(join)
        assert isinstance(await client.hear(), Joined)
        await thief.say(join)
        assert code_of(await thief.hear()) == "bad_signature"


async def test_presence_follows_members_as_they_come_change_and_go(url: str):
    async with member(url, ANNA, create=True) as anna:
        async with member(url, BEN, card=b"ben's card") as ben:
            assert await anna.hear() == Arrived(BEN.member_id, b"ben's card")
            await ben.say(UpdateCard(b"ben's other card"))
            assert await anna.hear() == Arrived(BEN.member_id, b"ben's other card")
        assert await anna.hear() == Departed(BEN.member_id)
        async with member(url, BEN) as ben:
            assert isinstance(await anna.hear(), Arrived)
            await ben.say(Leave())
            assert await ben.is_closed()
        assert await anna.hear() == Removed(BEN.member_id)


async def test_signals_go_to_their_member_and_say_who_sent_them(url: str):
    blob = b"x" * SIGNAL_BYTES_MAX
    async with member(url, ANNA, create=True) as anna, member(url, BEN) as ben:
        await anna.hear()
        await anna.say(Signal(BEN.member_id, blob))
        assert await ben.hear() == Signal(ANNA.member_id, blob)
        await anna.say(Signal(CARLA.member_id, b"hello?"))
        assert await anna.hear() == Absent(CARLA.member_id)


async def test_nothing_leaves_its_group(url: str):
    async with (
        member(url, ANNA, create=True) as anna,
        member(url, STRANGER, create=True) as stranger,
    ):
        await stranger.say(Signal(ANNA.member_id, b"let me in"))
        assert await stranger.hear() == Absent(ANNA.member_id)
        await stranger.say(UpdateCard(b"look at me"))
        await stranger.say(Leave())
        assert await stranger.is_closed()
        await anna.say(Signal(BEN.member_id, b"a marker"))
        assert await anna.hear() == Absent(BEN.member_id)  # and nothing before it


async def test_the_same_member_replaces_itself(url: str):
    async with (
        member(url, BEN, create=True) as ben,
        member(url, ANNA) as first,
        member(url, ANNA) as second,
    ):
        assert code_of(await first.hear()) == "replaced"
        assert await first.is_closed()
        assert [type(await ben.hear()) for _ in range(2)] == [Arrived, Arrived]
        await ben.say(Signal(ANNA.member_id, b"are you there"))
        assert await second.hear() == Signal(BEN.member_id, b"are you there")


async def test_groups_survive_a_restart_and_die_with_their_last_member(tmp_path: Path):
    async with running_server(tmp_path) as url, member(url, ANNA, create=True, card=b"card"):
        pass
    async with running_server(tmp_path) as url:
        async with raw_client(url) as client:
            answer = await client.join(BEN)
            assert isinstance(answer, Joined)
            assert [(one.member, one.card) for one in answer.members] == [(ANNA.member_id, b"card")]
            await client.say(Leave())
            assert await client.is_closed()
        async with member(url, ANNA) as anna:
            await anna.say(Leave())
            assert await anna.is_closed()
    async with running_server(tmp_path) as url, raw_client(url) as client:
        assert code_of(await client.join(GUESSER)) == "unknown_group"


async def test_a_damaged_database_is_said_and_not_overwritten(tmp_path: Path):
    async with running_server(tmp_path) as url, member(url, ANNA, create=True):
        pass
    (database,) = tmp_path.glob("*.json")
    database.write_bytes(database.read_bytes()[:-10])
    damaged = database.read_bytes()
    with pytest.raises(StoreError):
        async with running_server(tmp_path):
            pass
    assert database.read_bytes() == damaged


async def test_neither_disk_nor_log_tells_who_is_in_which_group(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("asyncio").setLevel(logging.INFO)
    sdp = b"a=fingerprint:sha-256 12:34 candidate 192.0.2.7"
    async with running_server(tmp_path) as url:
        async with member(url, ANNA, create=True) as anna, member(url, BEN) as ben:
            await anna.say(Signal(BEN.member_id, sdp))
            assert await ben.hear() == Signal(ANNA.member_id, sdp)
            await ben.say(b"junk")
            assert code_of(await ben.hear()) == "bad_message"
        async with raw_client(url) as client:
            assert code_of(await client.join(GUESSER)) == "wrong_password"
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    logged = caplog.text.encode()
    assert ANNA.member_id.hex().encode() in stored
    for secret in ("smith", "a friend", "anna", "a=fingerprint", "192.0.2.7", "127.0.0.1"):
        for form in forms_of(secret):
            assert form not in stored
    for secret in ("smith", "a friend", "a=fingerprint", "192.0.2.7"):
        for form in forms_of(secret):
            assert form not in logged
    for identity in (ANNA, BEN, GUESSER):
        for told in (identity.member_id, identity.name_id, identity.group_public_key):
            assert told.hex().encode() not in logged
            assert repr(bytes(told)).encode() not in logged
    for secret_key in (ANNA.group_seed, ANNA.box_key, ANNA.identity_seed):
        assert secret_key.hex().encode() not in stored
    assert not any(
        "127.0.0.1" in record.getMessage()
        for record in caplog.records
        if record.name.startswith("covey")
    )


def forms_of(secret: str) -> list[bytes]:
    """The ways in which a text might be in a file."""
    plain = [secret.encode(), secret.encode("utf-16-le"), secret.encode("utf-16-be")]
    base64s = [base64.b64encode(text)[:-4] for text in plain if len(text) > 6]
    return plain + [text.hex().encode() for text in plain] + base64s


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        encode(Failed("internal")),
        encode(Signal(BEN.member_id, b"x" * (SIGNAL_BYTES_MAX + 1))),
        encode(UpdateCard(b"x" * (CARD_BYTES_MAX + 1))),
        encode(Signal(b"short", b"")),
    ],
)
async def test_what_is_no_message_ends_only_its_own_connection(url: str, frame: bytes):
    async with member(url, ANNA, create=True) as anna, member(url, BEN) as ben:
        assert isinstance(await anna.hear(), Arrived)
        await ben.say(frame)
        assert code_of(await ben.hear()) == "bad_message"
        assert await ben.is_closed()
        assert await anna.hear() == Departed(BEN.member_id)


async def test_an_oversized_frame_ends_only_its_own_connection(url: str):
    async with member(url, ANNA, create=True) as anna, member(url, BEN) as ben:
        assert isinstance(await anna.hear(), Arrived)
        await ben.say(bytes(MESSAGE_BYTES_MAX + 1))
        assert await ben.is_closed()
        assert await anna.hear() == Departed(BEN.member_id)


async def test_a_text_frame_is_not_spoken_here(url: str):
    async with raw_client(url) as client:
        await client.socket.send_str("hello")
        assert await client.is_closed()


@pytest.mark.parametrize(
    "said",
    [Signal(ANNA.member_id, b"hello"), UpdateCard(b""), Leave(), b"", b"junk", bytes(10_000)],
)
async def test_who_has_not_joined_can_do_nothing_else(url: str, said: FromClient | bytes):
    async with raw_client(url) as client:
        await client.say(said)
        assert code_of(await client.hear()) == "bad_message"
        assert await client.is_closed()


async def test_who_does_not_join_is_dropped(tmp_path: Path):
    limits = Limits(join_timeout_s=0.05)
    async with running_server(tmp_path, limits=limits) as url, raw_client(url) as client:
        assert await client.is_closed()


async def test_a_slow_reader_is_dropped_and_others_go_on(tmp_path: Path):
    limits = Limits(
        outgoing_bytes_max=256 << 10,
        messages_per_connection=(10_000.0, 100_000),
        signal_bytes_per_connection=(1e9, 10**9),
    )
    blob = b"x" * SIGNAL_BYTES_MAX
    async with (
        running_server(tmp_path, limits=limits) as url,
        member(url, ANNA, create=True) as anna,
        member(url, BEN) as ben,
    ):
        assert isinstance(await anna.hear(), Arrived)
        reading = ben.socket._conn.transport  # type: ignore[union-attr]
        reading.pause_reading()
        dropped = asyncio.create_task(anna.hear())
        sent = 0
        while not dropped.done():
            await anna.say(Signal(BEN.member_id, blob))
            sent += 1
            assert sent < 5_000, "the server keeps everything for a reader that does not read"
        assert await dropped == Departed(BEN.member_id)
        async with member(url, CARLA):
            while isinstance(heard := await anna.hear(), Absent):
                pass
            assert isinstance(heard, Arrived)
        assert await metric(url, "slow_readers_dropped_total") == 1
        reading.abort()


async def test_too_many_messages_end_the_connection(tmp_path: Path):
    limits = Limits(messages_per_connection=(0.001, 5))
    async with (
        running_server(tmp_path, limits=limits) as url,
        member(url, ANNA, create=True) as anna,
    ):
        for _ in range(6):
            await anna.say(Signal(BEN.member_id, b""))
        heard = [await anna.hear() for _ in range(6)]
        assert heard[:5] == [Absent(BEN.member_id)] * 5
        assert code_of(heard[5]) == "rate_limited"
        assert await anna.is_closed()


async def test_who_guesses_waits_and_members_do_not(tmp_path: Path):
    limits = Limits(wrong_passwords_per_address=(0.001, 3))
    async with running_server(tmp_path, limits=limits) as url:
        async with member(url, ANNA, create=True):
            for expected in ("wrong_password",) * 3 + ("rate_limited",) * 2:
                async with raw_client(url) as client:
                    answer = await client.join(GUESSER)
                    assert code_of(answer) == expected
        assert isinstance(answer, Failed)
        assert answer.retry_after_s > 60
        async with raw_client(url) as client:  # the right password tells no stranger anything now
            assert code_of(await client.join(BEN)) == "rate_limited"
        async with member(url, ANNA):  # and a member is let in from the same address
            pass


async def test_connections_from_one_address_are_limited(tmp_path: Path):
    limits = Limits(connects_per_address=(0.001, 2))
    async with running_server(tmp_path, limits=limits) as url:
        for _ in range(2):
            async with raw_client(url):
                pass
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with raw_client(url):
                pass
        assert refused.value.status == 503
        assert int(refused.value.headers["Retry-After"]) > 0


async def test_open_connections_are_limited(tmp_path: Path):
    async with (
        running_server(tmp_path, limits=Limits(connections_max=1)) as url,
        raw_client(url) as first,
    ):
        with pytest.raises(aiohttp.WSServerHandshakeError):
            async with raw_client(url):
                pass
        await first.socket.close()
        async with asyncio.timeout(5):
            while await metric(url, "connections"):
                pass
        async with raw_client(url):
            pass


async def test_twenty_members_who_start_together_and_call_each_other_are_welcome(url: str):
    everybody = [a_member(f"member {number}") for number in range(20)]

    all_here, all_done = asyncio.Barrier(20), asyncio.Barrier(20)

    async def come(me: Credentials) -> None:
        async with member(url, me, create=True) as client:
            await all_here.wait()
            for other in everybody:
                if other is not me:
                    await client.say(Signal(other.member_id, b"an offer" * 100))
            heard: list[FromServer] = []
            while sum(isinstance(one, Signal) for one in heard) < len(everybody) - 1:
                heard.append(await client.hear())
            assert {type(one) for one in heard} <= {Signal, Arrived}
            await all_done.wait()

    await asyncio.gather(*(come(one) for one in everybody))


async def test_the_server_goes_by_its_names_only(tmp_path: Path):
    async with running_server(tmp_path, names=("covey.example", "other.example:8000")) as url:
        for host in ("covey.example", "other.example:8000"):
            async with raw_client(url, {"Host": host}) as client:
                assert isinstance(await client.join(ANNA, create=True), Joined)
        async with raw_client(url, {"Host": "evil.example"}) as client:
            assert code_of(await client.join(ANNA)) == "bad_signature"


@pytest.mark.parametrize("host", ["x" * 300, "b\u00fccher.example", "a b"])
async def test_a_strange_host_header_is_no_fault_of_ours(
    url: str, host: str, caplog: pytest.LogCaptureFixture
):
    address, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(address, int(port))
    head = f"GET /v1/ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    writer.write((head + key).encode("latin-1"))
    assert await asyncio.wait_for(reader.read(1000), 5)
    writer.close()
    await writer.wait_closed()
    assert "Traceback" not in caplog.text


async def test_ice_servers_are_passed_on(tmp_path: Path):
    turn = IceServer(("turn:turn.example:3478",), "user", "password")
    async with running_server(tmp_path, ice_servers=(turn,)) as url, raw_client(url) as client:
        answer = await client.join(ANNA, create=True)
        assert isinstance(answer, Joined)
        assert answer.ice_servers == (turn,)
