"""ICE and TURN of aiortc with their faults cured, and the guard that says for which versions.

aioice and aiortc are subclassed at the seams where they look classes up. Each class below cures
one fault and has a test that fails without it. The sockets are in aiortc_fixes_socket.py, DTLS in
aiortc_fixes_dtls.py, SCTP in aiortc_fixes_receive.py and aiortc_fixes_send.py.

The cures use names that are private to these libraries. So they are for exactly the versions
below: with others, `parts()` warns and returns what the library ships, and links still work,
with its faults.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import random
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aioice
from aioice import stun, turn
from aioice.candidate import Candidate, candidate_foundation, candidate_priority
from aioice.ice import (
    CandidatePair,
    StunProtocol,
    TransportPolicy,
    server_reflexive_candidate,
)
from aiortc import (
    RTCDtlsTransport,
    RTCIceGatherer,
    RTCIceServer,
    RTCIceTransport,
    RTCSctpTransport,
)
from aiortc.rtcicetransport import connection_kwargs

from datachannel.aiortc_fixes_dtls import DirectDtls
from datachannel.aiortc_fixes_relay import TurnServer, first_granted, turn_servers
from datachannel.aiortc_fixes_send import QuickSctp
from datachannel.aiortc_fixes_socket import DemultiplexingProtocol, bind

AIORTC_VERSION = "1.16.0"
AIOICE_VERSION = "0.13.0"

CONSENT_EVERY_S = 5.0
CONSENT_S_MAX = 30.0  # RFC 7675's own limit
RELAY_HOLD_S = 2.0  # pion's default too: a direct path is found within it, or hardly ever
GATHER_S_MAX = 3  # aioice waits 5 s for a STUN server that is silent, out of our 15 s
SILENT_S = 1.0  # STUN that is silent for so long, while TURN answers over TCP: UDP is shut
CHANNEL_RETRY_S = 5.0
LOOPBACK = "127.0.0.1"

_log = logging.getLogger("covey.datachannel")


class PatientConsentConnection(aioice.Connection):
    """One clock of 30 s decides that a peer is gone.

    aioice counts six checks without an answer within 0.5 s each, so that a round trip of more
    than 0.5 s, or a busy event loop, closes a healthy link after half a minute.
    """

    async def query_consent(self) -> None:
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        while True:
            # Not all links of a member at the same moment.
            await asyncio.sleep(CONSENT_EVERY_S * random.uniform(0.8, 1.2))
            for pair in list(self._nominated.values()):
                with contextlib.suppress(stun.TransactionError):
                    await pair.protocol.request(
                        self.build_request(pair, nominate=False),
                        pair.remote_addr,
                        integrity_key=(self.remote_password or "").encode(),
                        retransmissions=2,  # 0.5 + 1 + 2 s, and a late answer counts
                    )
                    heard_at = loop.time()
            if loop.time() - heard_at >= CONSENT_S_MAX:
                self._query_consent_task = None
                await self.close()
                return


class DirectFirstConnection(PatientConsentConnection):
    """Relayed pairs wait 2 s, so that a direct path wins where there is one.

    aioice settles on the first pair that answers. That is the relay's, since its path is open
    already while the direct one is being punched, and there is no later upgrade.
    """

    _first_check_at: float | None = None

    def _check_periodic(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self._first_check_at is None:
            self._first_check_at = now
        direct = [pair for pair in self._check_list if not _is_relayed(pair)]
        nothing_to_wait_for = not direct and not self._remote_candidates_expected()
        if now - self._first_check_at >= RELAY_HOLD_S or nothing_to_wait_for:
            return super()._check_periodic()
        everything = self._check_list
        self._check_list = direct
        try:
            super()._check_periodic()
        finally:
            self._check_list = everything
        return not self._check_list_done


def _is_relayed(pair: CandidatePair) -> bool:
    return "relay" in (pair.local_candidate.type, pair.remote_candidate.type)


def is_relayed(ice: RTCIceTransport) -> bool | None:
    """Whether a connected transport goes through a TURN server; None when it cannot be told."""
    pair = getattr(ice._connection, "_nominated", {}).get(1)
    return None if pair is None else _is_relayed(pair)


class SteadyConnection(DirectFirstConnection):
    """Finds addresses on a computer without a network, quickly, and hands data on without a detour.

    aioice never offers a loopback address, so that on a computer that is offline two members
    have no candidates at all. A silent STUN server holds everything up for 5 s, and of several
    TURN servers it asks one (aiortc_fixes_relay.py). Its sockets take a packet in a system call
    (aiortc_fixes_socket.py), and each packet goes through a queue.
    """

    take: Callable[[bytes], None] | None = None
    """Who gets the data; while there is nobody, it waits for `recv`."""
    relays: Sequence[TurnServer] = ()
    """Who may be asked for a relay."""

    async def get_component_candidates(
        self, component: int, addresses: list[str], timeout: int = GATHER_S_MAX
    ) -> list[Candidate]:
        timeout = min(timeout, GATHER_S_MAX)
        if self._transport_policy == TransportPolicy.ALL:
            addresses = [address for address in addresses if _can_bind(address)] or [LOOPBACK]
        protocols = []
        for address in addresses:
            with contextlib.suppress(OSError):  # it may have gone a moment ago
                protocols.append(await self._bind(component, address))
        self._protocols += protocols
        candidates = [protocol.local_candidate for protocol in protocols]
        asked: list[asyncio.Task[tuple[Candidate, StunProtocol | None]]] = []
        if self.stun_server:
            asked = [
                asyncio.create_task(server_reflexive_candidate(protocol, self.stun_server))
                for protocol in protocols
                if ":" not in protocol.local_candidate.host
            ]
        try:
            began = asyncio.get_running_loop().time()
            granted = await first_granted(
                self.relays, lambda server: self._ask(server, component), timeout_s=timeout
            )
            udp_is_shut = granted is not None and granted[1].transport != "udp"
            patience_s = SILENT_S if udp_is_shut else timeout
            if asked:
                left_s = max(0.0, began + patience_s - asyncio.get_running_loop().time())
                await asyncio.wait(asked, timeout=left_s)
        finally:
            for task in asked:
                task.cancel()
        candidates += [task.result()[0] for task in asked if _has_answer(task)]
        if granted is not None:
            (relay, protocol), _ = granted
            candidates.append(relay)
            self._protocols.append(protocol)
        return candidates

    async def _ask(self, server: TurnServer, component: int) -> tuple[Candidate, StunProtocol]:
        return await server.grant(
            component,
            protocol=lambda: StunProtocol(self),
            hide=self._transport_policy == TransportPolicy.RELAY,
        )

    def data_received(self, data: bytes, component: int) -> None:
        if self.take is not None:
            self.take(data)
        else:
            super().data_received(data, component)

    async def _bind(self, component: int, address: str) -> StunProtocol:
        protocol = DemultiplexingProtocol(self)
        host, port, *_ = (await bind(address, protocol)).get_extra_info("sockname")
        protocol.local_candidate = Candidate(
            foundation=candidate_foundation("host", "udp", host),
            component=component,
            transport="udp",
            priority=candidate_priority(component, "host"),
            host=host,
            port=port,
            type="host",
        )
        return protocol

    def _pair_remote_candidate(self, remote_candidate: Candidate) -> None:
        # A friend's loopback address is ours only on the same computer, where we have one too.
        locals_ = [protocol.local_candidate.host for protocol in self._protocols]
        if _is_loopback(remote_candidate.host) and not any(map(_is_loopback, locals_)):
            return
        super()._pair_remote_candidate(remote_candidate)


def _has_answer(task: asyncio.Task[tuple[Candidate, StunProtocol | None]]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _is_loopback(host: str) -> bool:
    return host.startswith("127.") or host == "::1"


def _can_bind(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


class SteadyIceGatherer(RTCIceGatherer):
    """Gathers with our connection, and with the servers it is given, never with a public one."""

    def __init__(self, iceServers: list[RTCIceServer]) -> None:  # noqa: N803 - aiortc's name
        super().__init__(iceServers=iceServers)
        self._connection = steady_connection(iceServers)


def steady_connection(
    servers: list[RTCIceServer], policy: TransportPolicy = TransportPolicy.ALL
) -> SteadyConnection:
    """A connection that may use all of these STUN and TURN servers."""
    connection = SteadyConnection(
        ice_controlling=False, transport_policy=policy, **connection_kwargs(servers)
    )
    connection.relays = turn_servers(servers)
    return connection


class _CalmChannelRefresh(turn.TurnClientMixin):
    """A TURN channel is refreshed once, in the background, and data goes on meanwhile.

    aioice sends a request for every packet that is sent until the first is answered, each packet
    waiting for its own: dozens of requests and a reordered burst, every 500 s.
    """

    def __init__(
        self,
        server: tuple[str, int],
        username: str | None,
        password: str | None,
        lifetime: int,
        channel_refresh_time: int,
    ) -> None:
        super().__init__(server, username, password, lifetime, channel_refresh_time)
        self._refreshes: set[asyncio.Task[None]] = set()

    async def send_data(self, data: bytes, addr: tuple[str, int]) -> None:
        channel = self.peer_to_channel.get(addr)
        now = time.time()  # noqa: TID251 - aioice's own times are of this clock
        if channel is not None and now > self.channel_refresh_at[channel]:
            self.channel_refresh_at[channel] = now + self.channel_refresh_time
            task = asyncio.get_running_loop().create_task(self._refresh_channel(channel, addr))
            self._refreshes.add(task)
            task.add_done_callback(self._refreshes.discard)
        await super().send_data(data, addr)

    async def delete(self) -> None:
        for task in list(self._refreshes):
            task.cancel()
        await super().delete()

    async def _refresh_channel(self, channel: int, addr: tuple[str, int]) -> None:
        try:
            await self.channel_bind(channel, addr)
        except (stun.TransactionError, OSError):
            now = time.time()  # noqa: TID251 - as above
            self.channel_refresh_at[channel] = now + CHANNEL_RETRY_S


class CalmTurnUdpProtocol(_CalmChannelRefresh, turn.TurnClientUdpProtocol):
    """TURN over UDP with calm refreshes."""


class CalmTurnTcpProtocol(_CalmChannelRefresh, turn.TurnClientTcpProtocol):
    """TURN over TCP or TLS with calm refreshes."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a connection is built of."""

    gatherer: Callable[[list[RTCIceServer]], RTCIceGatherer]
    dtls: type[RTCDtlsTransport]
    sctp: type[RTCSctpTransport]
    fixed: bool


STOCK_PARTS = Parts(
    gatherer=RTCIceGatherer, dtls=RTCDtlsTransport, sctp=RTCSctpTransport, fixed=False
)
FIXED_PARTS = Parts(gatherer=SteadyIceGatherer, dtls=DirectDtls, sctp=QuickSctp, fixed=True)


def installed_versions() -> tuple[str, str]:
    """The versions of aiortc and aioice that are installed."""
    return importlib.metadata.version("aiortc"), importlib.metadata.version("aioice")


def parts(versions: tuple[str, str] | None = None) -> Parts:
    """The parts to build connections of, for the installed versions (or those given)."""
    aiortc_version, aioice_version = versions or installed_versions()
    if (aiortc_version, aioice_version) != (AIORTC_VERSION, AIOICE_VERSION):
        _log.warning(
            "aiortc %s with aioice %s is installed, and the cures for their faults are for %s "
            "with %s: links are slower and break more often",
            aiortc_version,
            aioice_version,
            AIORTC_VERSION,
            AIOICE_VERSION,
        )
        return STOCK_PARTS
    # The one seam that is a module's name: aioice makes its TURN clients itself.
    turn.TurnClientUdpProtocol = CalmTurnUdpProtocol  # type: ignore[misc]
    turn.TurnClientTcpProtocol = CalmTurnTcpProtocol  # type: ignore[misc]
    return FIXED_PARTS


def keep_quiet() -> None:
    """Keep the libraries' own logs to warnings: below it they hold SDP, with its passwords."""
    for name in ("aiortc", "aioice"):
        logging.getLogger(name).setLevel(logging.WARNING)
