"""The ICE and TURN of the links: faults that aioice has and these classes do not."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import Any

import pytest
from aioice import stun, turn
from aioice.candidate import Candidate
from aioice.ice import CandidatePair, Connection, StunProtocol

from datachannel import aiortc_fixes, aiortc_fixes_socket
from datachannel.aiortc_fixes import (
    CalmTurnUdpProtocol,
    DirectFirstConnection,
    PatientConsentConnection,
    SteadyConnection,
)
from tests.support.sctp_harness import run_virtual

PEER = ("192.0.2.9", 4000)


def candidate(kind: str = "host", host: str = "192.0.2.1", port: int = 4000) -> Candidate:
    return Candidate("f", 1, "udp", 1, host, port, kind)


class Wire:
    """A datagram transport whose peer answers every check after `delay_s`, or never."""

    def __init__(self, connection: Connection, delay_s: float | None) -> None:
        self.delay_s = delay_s
        self.checks = 0
        self.protocol = StunProtocol(connection)
        self.protocol.transport = self  # type: ignore[assignment]
        self.protocol.local_candidate = candidate()

    def sendto(self, data: bytes, addr: tuple[str, int]) -> None:
        request = stun.parse_message(data)
        self.checks += 1
        response = stun.Message(
            message_method=request.message_method,
            message_class=stun.Class.RESPONSE,
            transaction_id=request.transaction_id,
        )
        response.attributes["XOR-MAPPED-ADDRESS"] = addr
        response.add_message_integrity(b"p" * 22)
        if self.delay_s is not None:
            asyncio.get_running_loop().call_later(
                self.delay_s, self.protocol.datagram_received, bytes(response), addr
            )


def nominated(kind: type[Connection], delay_s: float | None) -> tuple[Connection, Wire]:
    connection = kind(ice_controlling=True)
    connection.remote_username, connection.remote_password = "user", "p" * 22
    wire = Wire(connection, delay_s)
    connection._nominated[1] = CandidatePair(wire.protocol, candidate(host=PEER[0]))
    return connection, wire


@pytest.mark.parametrize("round_trip_s", [0.05, 0.6, 1.4, 3.0])
def test_a_slow_link_keeps_its_consent(round_trip_s):
    async def main() -> None:
        connection, _ = nominated(PatientConsentConnection, round_trip_s)
        checking = asyncio.get_running_loop().create_task(connection.query_consent())
        await asyncio.sleep(600)
        assert connection._nominated
        checking.cancel()

    run_virtual(main())


def test_a_link_that_answers_now_and_then_keeps_its_consent():
    async def main() -> None:
        connection, wire = nominated(PatientConsentConnection, 0.05)
        checking = asyncio.get_running_loop().create_task(connection.query_consent())
        for _ in range(20):
            wire.delay_s = None
            await asyncio.sleep(12)
            wire.delay_s = 0.05
            await asyncio.sleep(11)
        assert connection._nominated
        checking.cancel()

    run_virtual(main())


def test_a_link_that_is_silent_for_30_s_is_closed():
    async def main() -> None:
        connection, wire = nominated(PatientConsentConnection, 0.05)
        checking = asyncio.get_running_loop().create_task(connection.query_consent())
        await asyncio.sleep(60)
        wire.delay_s = None
        await asyncio.sleep(25)
        assert connection._nominated
        await asyncio.sleep(20)
        assert not connection._nominated
        await checking

    run_virtual(main())


def with_pairs(*kinds: str, more_expected: bool = False) -> tuple[Any, list[str]]:
    """A connection whose check list has a pair of each kind, and the kinds that are checked."""
    connection: Any = DirectFirstConnection(ice_controlling=True)
    started: list[str] = []

    def start(pair: CandidatePair) -> None:
        pair.state = CandidatePair.State.IN_PROGRESS
        started.append(pair.remote_candidate.type)

    connection.check_start_task = start
    connection._remote_candidates_end = not more_expected
    for kind in kinds:
        wire = Wire(connection, None)
        pair = CandidatePair(wire.protocol, candidate(kind))
        pair.state = CandidatePair.State.WAITING
        connection._check_list.append(pair)
    return connection, started


def test_relayed_pairs_wait_two_seconds_for_the_direct_ones():
    async def main() -> None:
        connection, started = with_pairs("relay", "host", "srflx")
        for _ in range(99):
            assert connection._check_periodic()
            await asyncio.sleep(0.02)
        assert started == ["host", "srflx"]
        assert len(connection._check_list) == 3
        for _ in range(5):
            connection._check_periodic()
            await asyncio.sleep(0.02)
        assert started == ["host", "srflx", "relay"]

    run_virtual(main())


@pytest.mark.parametrize("more_expected", [False, True])
def test_without_direct_pairs_there_is_nothing_to_wait_for(more_expected):
    async def main() -> None:
        connection, started = with_pairs("relay", more_expected=more_expected)
        connection._check_periodic()
        assert started == ([] if more_expected else ["relay"])

    run_virtual(main())


def test_a_hold_ends_when_a_direct_pair_succeeded():
    async def main() -> None:
        connection, started = with_pairs("relay", "host")
        assert connection._check_periodic()
        connection._check_list_done = True
        assert not connection._check_periodic()
        assert started == ["host"]

    run_virtual(main())


async def test_a_silent_server_holds_gathering_up_for_a_bounded_time(monkeypatch):
    monkeypatch.setattr(aiortc_fixes, "GATHER_S_MAX", 0.2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        connection = SteadyConnection(ice_controlling=True, stun_server=silent.getsockname())
        loop = asyncio.get_running_loop()
        started = loop.time()
        await connection.gather_candidates()
        assert loop.time() - started < 1.5
        assert connection.local_candidates
        await connection.close()


async def test_sockets_have_the_largest_buffers_that_the_system_grants():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reference:
        reference.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, aiortc_fixes_socket.SOCKET_BUFFER_BYTES
        )
        granted = reference.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    connection = SteadyConnection(ice_controlling=True)
    await connection.gather_candidates()
    for protocol in connection._protocols:
        sock = protocol.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == granted
    await connection.close()


@pytest.mark.parametrize(
    ("mine", "theirs", "pairs"),
    [
        ("127.0.0.1", "127.0.0.1", 1),
        ("192.0.2.1", "127.0.0.1", 0),
        ("192.0.2.1", "192.0.2.2", 1),
        ("127.0.0.1", "192.0.2.2", 1),
    ],
)
async def test_a_friends_loopback_address_is_tried_only_by_who_has_one_too(mine, theirs, pairs):
    connection = SteadyConnection(ice_controlling=True)
    protocol = StunProtocol(connection)
    protocol.local_candidate = candidate(host=mine)
    connection._protocols.append(protocol)
    connection._pair_remote_candidate(candidate(host=theirs))
    assert len(connection._check_list) == pairs


class RelayClient(CalmTurnUdpProtocol):
    """A TURN client whose server answers after 50 ms, or refuses."""

    def __init__(self) -> None:
        super().__init__(("turn", 1), "user", "password", 600, 500)
        self.sent: list[int] = []
        self.binds = 0
        self.refuses = False

    def _send(self, data: bytes) -> None:
        self.sent.append(struct.unpack("!I", data[4:8])[0])

    def send_stun(self, message: stun.Message, addr: tuple[str, int]) -> None:
        self.binds += 1
        answer = stun.Message(
            message_method=message.message_method,
            message_class=stun.Class.ERROR if self.refuses else stun.Class.RESPONSE,
            transaction_id=message.transaction_id,
        )
        answer.attributes["ERROR-CODE"] = (400, "no")
        transaction = self.transactions[message.transaction_id]
        asyncio.get_running_loop().call_later(
            0.05, transaction.response_received, answer, self.server
        )


async def send_numbered(client: RelayClient, count: int) -> None:
    sends = []
    for number in range(count):
        sends.append(
            asyncio.get_running_loop().create_task(
                client.send_data(struct.pack("!I", number), PEER)
            )
        )
        await asyncio.sleep(0.001)
    await asyncio.gather(*sends)


def test_a_relays_channel_is_refreshed_once_and_data_goes_on_in_order():
    async def main() -> None:
        client = RelayClient()
        await client.send_data(bytes(4), PEER)
        client.channel_refresh_at = dict.fromkeys(client.channel_refresh_at, 0.0)
        client.binds, client.sent = 0, []
        await send_numbered(client, 200)
        assert client.binds == 1
        assert client.sent == list(range(200))

    run_virtual(main())


def test_a_refused_refresh_is_tried_again_later_and_data_goes_on_meanwhile():
    async def main() -> None:
        client = RelayClient()
        await client.send_data(bytes(4), PEER)
        client.channel_refresh_at = dict.fromkeys(client.channel_refresh_at, 0.0)
        client.binds, client.sent, client.refuses = 0, [], True
        await send_numbered(client, 200)
        assert client.binds == 1
        assert client.sent == list(range(200))
        client.channel_refresh_at = dict.fromkeys(client.channel_refresh_at, 0.0)
        client.refuses = False
        await send_numbered(client, 1)
        await asyncio.sleep(1)
        assert client.binds == 2

    run_virtual(main())


def test_the_cures_are_applied_to_the_installed_versions():
    assert aiortc_fixes.parts() is aiortc_fixes.FIXED_PARTS
    assert turn.TurnClientUdpProtocol is CalmTurnUdpProtocol


@pytest.mark.parametrize("versions", [("1.16.1", "0.13.0"), ("1.16.0", "0.14.0")])
def test_with_other_versions_the_stock_parts_are_used_and_a_warning_says_so(versions, caplog):
    assert aiortc_fixes.parts(versions) is aiortc_fixes.STOCK_PARTS
    assert "the cures for their faults are for 1.16.0" in caplog.text


def test_the_libraries_log_warnings_only():
    logging.getLogger("aioice").setLevel(logging.DEBUG)
    aiortc_fixes.keep_quiet()
    assert not logging.getLogger("aioice.ice").isEnabledFor(logging.INFO)
    assert not logging.getLogger("aiortc.rtcpeerconnection").isEnabledFor(logging.INFO)
