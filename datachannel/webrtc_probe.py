"""What STUN and TURN servers answer, for `covey doctor`: one question each, with a short patience.

Several STUN servers are asked from one socket, since their answers side by side tell what kind of
NAT is on the way. A relay is tried as a link would use it: an allocation with the member's
credentials, over UDP, TCP or TLS, that is given back at once.

Not here: links (webrtc.py), and what the answers mean (peer/doctor).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, cast

from aioice import stun, turn
from aiortc.rtcicetransport import parse_stun_turn_uri

from signaling.messages import IceServer

Address = tuple[str, int]

ANSWER_S_MAX: Final = 5.0
"""A server that takes longer is of no use: an attempt at a link waits for 3 s."""
RETRIES: Final = 3
"""0.5 + 1 + 2 s: lost packets are no verdict."""
SERVERS_MAX: Final = 8
ALLOCATION_S: Final = 60


class _Asking(asyncio.DatagramProtocol):
    """Sends STUN requests and gives each answer to its transaction."""

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: dict[bytes, tuple[stun.Transaction, Address]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def send_stun(self, message: stun.Message, addr: Address) -> None:
        """Called by a transaction."""
        if self._transport is not None:
            self._transport.sendto(bytes(message), addr)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        try:
            message = stun.parse_message(data)
        except ValueError:
            return
        transaction, asked = self._waiting.get(message.transaction_id, (None, None))
        if transaction is not None and asked == addr[:2]:
            transaction.response_received(message, addr[:2])

    async def ask(self, server: Address) -> Address | None:
        """The address that a server sees; None when it is silent."""
        request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        transaction = stun.Transaction(request, server, self, retransmissions=RETRIES)
        self._waiting[request.transaction_id] = transaction, server
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                answer, _ = await transaction.run()
        except (stun.TransactionError, TimeoutError, OSError):
            return None
        finally:
            del self._waiting[request.transaction_id]
        seen = answer.attributes.get("XOR-MAPPED-ADDRESS")
        return None if seen is None else (str(seen[0]), int(seen[1]))


async def seen_from(urls: Sequence[str]) -> tuple[list[str], dict[str, list[Address | None]]]:
    """(our own addresses, what each server sees), all asked from one socket over IPv4.

    A server with several addresses is asked at each. TURN servers over UDP answer this too.
    """
    loop = asyncio.get_running_loop()
    addresses = {url: await _addresses_of(url) for url in urls[:SERVERS_MAX]}
    transport, asking = await loop.create_datagram_endpoint(_Asking, local_addr=("0.0.0.0", 0))
    try:
        asked = [(url, one) for url, found in addresses.items() for one in found[:2]]
        answers = await asyncio.gather(*(asking.ask(one) for _, one in asked))
    finally:
        transport.close()
    seen: dict[str, list[Address | None]] = {url: [] for url in addresses}
    for (url, _), answer in zip(asked, answers, strict=True):
        seen[url].append(answer)
    local = [own for own in (_own_address_to(one) for _, one in asked) if own is not None]
    return local, seen


async def why_no_relay(server: IceServer, url: str) -> str:
    """Why there is no relay to be had at this URL; empty when there is."""
    parsed = parse_stun_turn_uri(url)
    is_tls = parsed["scheme"] == "turns"
    try:
        async with (
            asyncio.timeout(ANSWER_S_MAX),
            _allocation(server, (parsed["host"], parsed["port"]), parsed["transport"], is_tls),
        ):
            return ""
    except TimeoutError:
        return "it does not answer"
    except stun.TransactionTimeout:
        return "it does not answer"
    except stun.TransactionFailed as error:
        code, _ = error.response.attributes.get("ERROR-CODE", (0, ""))
        return "it refuses this member" if code in (401, 441) else f"it refuses, with {code}"
    except ssl.SSLCertVerificationError:
        return "its certificate is not accepted"
    except socket.gaierror:
        return "its name is not known"
    except (OSError, ssl.SSLError):
        return "it cannot be connected to"


def transport_of(url: str) -> str:
    """`UDP`, `TCP` or `TLS`."""
    parsed = parse_stun_turn_uri(url)
    return "TLS" if parsed["scheme"] == "turns" else str(parsed["transport"]).upper()


@asynccontextmanager
async def _allocation(
    server: IceServer, address: Address, transport: str, is_tls: bool
) -> AsyncIterator[None]:
    lost = asyncio.get_running_loop().create_future()

    class Receiver(asyncio.DatagramProtocol):
        def connection_lost(self, exc: Exception | None) -> None:
            if not lost.done():
                lost.set_result(None)

    relay, _ = await turn.create_turn_endpoint(
        Receiver,
        server_addr=address,
        username=server.username,
        password=server.credential,
        lifetime=ALLOCATION_S,
        ssl=is_tls,
        transport=transport,
    )
    try:
        yield
    finally:
        relay.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await lost


async def _addresses_of(url: str) -> list[Address]:
    parsed = parse_stun_turn_uri(url)
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            found = await asyncio.get_running_loop().getaddrinfo(
                parsed["host"], parsed["port"], family=socket.AF_INET, type=socket.SOCK_DGRAM
            )
    except (OSError, TimeoutError):
        return []
    return sorted({(str(one[4][0]), int(one[4][1])) for one in found})


def _own_address_to(server: Address) -> str | None:
    """This computer's address on the way there. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(server)
        except OSError:
            return None
        return str(probe.getsockname()[0])
