"""The aiortc engine: one data channel between two members, as a Link.

A connection is put together from aiortc's transports (ICE, DTLS, SCTP) directly, without
RTCPeerConnection: all that this would add is SDP, and no SDP exists anywhere in Covey. What the
two ends must know of each other is a small `Description` (signals.py). Every attempt is a new
connection with a new certificate, and is given its list of STUN and TURN servers explicitly.

The channel is negotiated, number 0, ordered and reliable: nobody opens channels by message.

Not here: who may connect and when (mesh.py), proving who it is (handshake.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from aiortc import (
    RTCCertificate,
    RTCDataChannel,
    RTCDataChannelParameters,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCIceCandidate,
    RTCIceParameters,
    RTCIceServer,
    RTCIceTransport,
    RTCSctpCapabilities,
)
from aiortc.exceptions import InvalidStateError
from aiortc.rtcicetransport import parse_stun_turn_uri

from datachannel import aiortc_fixes
from datachannel.aiortc_fixes_receive import STREAM_ID
from datachannel.channel_link import BUFFERED_BYTES_LOW, MESSAGE_BYTES_MAX, ChannelLink
from datachannel.errors import Unavailable
from datachannel.signals import CANDIDATES_MAX, Candidate, CandidateKind, Description
from signaling.messages import IceServer, MemberId

CLOSE_S_MAX = 3.0  # deleting a relay of a dead TURN server would take a minute
_SCTP_PORT = 5000

_log = logging.getLogger("covey.datachannel")


class AiortcLink(ChannelLink):
    """A Link over aiortc's data channel."""

    engine = "aiortc"

    def __init__(
        self,
        remote: MemberId,
        channel: RTCDataChannel,
        ice: RTCIceTransport,
        close: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(remote, close)
        self._channel = channel
        self._ice = ice
        channel.bufferedAmountLowThreshold = BUFFERED_BYTES_LOW
        channel.on("open", self.opened_now)
        channel.on("message", self.arrived)
        channel.on("bufferedamountlow", self.drained_now)
        channel.on("close", self.lose)
        # Without it, an exception in a handler would end the connection.
        channel.on("error", self._on_error)
        if channel.readyState == "open":
            self.opened_now()

    @property
    def is_relayed(self) -> bool | None:
        """Whether the path that ICE has settled on goes through a TURN server."""
        return aiortc_fixes.is_relayed(self._ice)

    @property
    def rtt_s(self) -> float | None:
        """The round trip that SCTP measured, when it did."""
        rtt_s: float | None = self._channel.transport._srtt
        return rtt_s

    def _send(self, frame: bytes) -> bool:
        try:
            self._channel.send(frame)
        except InvalidStateError:
            return False
        return True

    def _queued_bytes(self) -> int:
        return self._channel.bufferedAmount

    def _on_error(self, error: Exception) -> None:
        _log.error("a handler of a data channel failed", exc_info=error)


class AiortcAttempt:
    """One try to connect to one member."""

    def __init__(
        self,
        remote: MemberId,
        *,
        offerer: bool,
        ice_servers: Sequence[IceServer],
        parts: aiortc_fixes.Parts,
    ) -> None:
        self._offerer = offerer
        self._gatherer = parts.gatherer(_rtc_servers(ice_servers))
        self._ice = RTCIceTransport(self._gatherer)
        self._dtls = parts.dtls(self._ice, [RTCCertificate.generateCertificate()])
        self._sctp = parts.sctp(self._dtls)
        channel = RTCDataChannel(
            self._sctp, RTCDataChannelParameters(label="covey", negotiated=True, id=STREAM_ID)
        )
        self._link = AiortcLink(remote, channel, self._ice, self.close)
        self._dtls.on("statechange", self._watch)
        self._ice.on("statechange", self._watch)
        self._closing: asyncio.Task[None] | None = None

    async def local_description(self, offer: Description | None = None) -> Description:
        """Find our own addresses and say what the other end must know."""
        await self._gatherer.gather()
        parameters = self._gatherer.getLocalParameters()
        candidates = _small_candidates(self._gatherer.getLocalCandidates())
        return Description(
            username=parameters.usernameFragment or "",
            password=parameters.password or "",
            fingerprint=_sha256_of(self._dtls.getLocalParameters().fingerprints),
            setup="actpass" if self._offerer else "active",
            candidates=candidates,
        )

    async def connect(self, remote: Description) -> AiortcLink:
        """Connect to the other end; raises Unavailable. After `local_description`, once.

        It may take a minute to fail: the caller has a timer.
        """
        if (remote.setup == "actpass") == self._offerer:
            raise Unavailable("the other end took the wrong part")
        self._ice._connection.ice_controlling = self._offerer
        self._dtls._set_role("client" if self._is_dtls_client(remote) else "server")
        await self.add_candidates(remote.candidates, complete=remote.complete)
        await self._ice.start(
            RTCIceParameters(usernameFragment=remote.username, password=remote.password)
        )
        if self._ice.state != "completed":
            raise Unavailable("no path to the other end was found")
        await self._dtls.start(
            RTCDtlsParameters(
                fingerprints=[RTCDtlsFingerprint("sha-256", remote.fingerprint.hex(":").upper())]
            )
        )
        if self._dtls.state != "connected":
            raise Unavailable("the other end has another certificate, or vanished")
        await self._sctp.start(RTCSctpCapabilities(maxMessageSize=MESSAGE_BYTES_MAX), _SCTP_PORT)
        if not await self._link.opened():
            raise Unavailable("the channel did not open")
        return self._link

    async def add_candidates(self, candidates: Sequence[Candidate], *, complete: bool) -> None:
        """Take addresses of the other end, and the word that there are no more."""
        for candidate in candidates:
            await self._ice.addRemoteCandidate(_rtc_candidate(candidate))
        if complete:
            await self._ice.addRemoteCandidate(None)

    def close(self) -> asyncio.Future[None]:
        """Give the attempt up, or end the connection. May be called many times."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        return asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._link.lose()
        receiving = self._dtls._task
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                await self._sctp.stop()
                await self._dtls.stop()
                await self._ice.stop()
        except TimeoutError:
            _log.info("a connection took long to close and was left behind")
        if receiving is not None:
            await asyncio.gather(receiving, return_exceptions=True)
        self._dtls.remove_all_listeners()

    def _is_dtls_client(self, remote: Description) -> bool:
        # The answerer is active, as is custom; an answerer of another engine may be passive.
        return remote.setup == "passive" if self._offerer else True

    def _watch(self) -> None:
        if self._dtls.state in ("closed", "failed") or self._ice.state in ("closed", "failed"):
            self._link.lose()


class AiortcEngine:
    """Makes attempts with aiortc. `fixed` says whether its faults are cured."""

    name = "aiortc"

    def __init__(self, parts: aiortc_fixes.Parts | None = None) -> None:
        aiortc_fixes.keep_quiet()
        self._parts = parts or aiortc_fixes.parts()
        self.fixed = self._parts.fixed

    def attempt(
        self, remote: MemberId, *, offerer: bool, ice_servers: Sequence[IceServer]
    ) -> AiortcAttempt:
        """A new try to connect. `close` it, or the link that it became."""
        return AiortcAttempt(remote, offerer=offerer, ice_servers=ice_servers, parts=self._parts)


def _rtc_servers(servers: Sequence[IceServer]) -> list[RTCIceServer]:
    """The servers that aiortc understands. Others may mean something to other programs."""
    return [
        RTCIceServer(urls=[url], username=server.username or None, credential=server.credential)
        for server in servers
        for url in server.urls
        if _is_understood(url)
    ]


def _is_understood(url: str) -> bool:
    try:
        parse_stun_turn_uri(url)
    except ValueError:
        _log.info("a STUN or TURN server's address makes no sense and is left out")
        return False
    return True


def _small_candidates(gathered: Sequence[RTCIceCandidate]) -> tuple[Candidate, ...]:
    found: list[Candidate] = []
    for one in sorted(gathered, key=lambda one: -one.priority):
        with contextlib.suppress(ValueError):  # an address that no peer could use
            found.append(
                Candidate(
                    kind=cast("CandidateKind", one.type),
                    address=str(ipaddress.ip_address(one.ip)),
                    port=one.port,
                    priority=one.priority,
                    foundation=one.foundation,
                )
            )
    relays = [one for one in found if one.kind == "relay"]
    others = [one for one in found if one.kind != "relay"]
    return tuple(others[: CANDIDATES_MAX - len(relays)] + relays)  # relays are never left out


def _rtc_candidate(candidate: Candidate) -> RTCIceCandidate:
    return RTCIceCandidate(
        component=1,
        foundation=candidate.foundation,
        ip=candidate.address,
        port=candidate.port,
        priority=candidate.priority,
        protocol="udp",
        type=candidate.kind,
    )


def _sha256_of(fingerprints: Sequence[RTCDtlsFingerprint]) -> bytes:
    value = next(one.value for one in fingerprints if one.algorithm == "sha-256")
    return bytes.fromhex(value.replace(":", ""))
