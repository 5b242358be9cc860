"""A relay from the first TURN server that grants one, over UDP, TCP or TLS.

aioice asks one TURN server, whichever stands first, so that behind a firewall that drops UDP the
one that would do is asked only in a later attempt. Here each server of the list has a short head
start before the next one is asked too; the first relay that is granted is taken, and those that
come later are given back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aioice import Candidate
from aioice.ice import StunProtocol, relayed_candidate
from aiortc import RTCIceServer
from aiortc.rtcicetransport import connection_kwargs

HEAD_START_S = 0.5
"""A TURN server grants a relay in two round trips. TLS, at the third place, begins after 1 s."""

Granted = tuple[Candidate, StunProtocol]


@dataclass(frozen=True, slots=True)
class TurnServer:
    """One way to one TURN server."""

    address: tuple[str, int]
    transport: str
    tls: bool
    username: str | None
    password: str | None

    async def grant(
        self, component: int, *, protocol: Callable[[], StunProtocol], hide: bool
    ) -> Granted:
        """Ask for a relay. Raises OSError or TransactionError; it may take half a minute."""
        return await relayed_candidate(
            component=component,
            hide_related_address=hide,
            protocol_factory=protocol,
            turn_server=self.address,
            turn_username=self.username or "",
            turn_password=self.password or "",
            turn_ssl=self.tls,
            turn_transport=self.transport,
        )


def turn_servers(servers: Sequence[RTCIceServer]) -> list[TurnServer]:
    """All ways to TURN servers that aioice can go, in their order."""
    found = []
    for server in servers:
        for url in [server.urls] if isinstance(server.urls, str) else server.urls:
            one = RTCIceServer(urls=[url], username=server.username, credential=server.credential)
            told = connection_kwargs([one])
            if "turn_server" in told:
                found.append(
                    TurnServer(
                        told["turn_server"],
                        told["turn_transport"],
                        told["turn_ssl"],
                        told["turn_username"],
                        told["turn_password"],
                    )
                )
    return found


async def first_granted(
    servers: Sequence[TurnServer],
    ask: Callable[[TurnServer], Awaitable[Granted]],
    *,
    timeout_s: float,
) -> tuple[Granted, TurnServer] | None:
    """The first relay that is granted, and by whom; None when there is none in time."""
    waiting = deque(servers)
    asked: dict[asyncio.Future[Granted], TurnServer] = {}
    won: tuple[Granted, TurnServer] | None = None
    deadline = asyncio.get_running_loop().time() + timeout_s
    try:
        while won is None and (waiting or asked):
            left_s = deadline - asyncio.get_running_loop().time()
            if left_s <= 0:
                break
            if waiting:
                server = waiting.popleft()
                asked[asyncio.ensure_future(ask(server))] = server
            done, _ = await asyncio.wait(
                asked,
                timeout=min(HEAD_START_S, left_s) if waiting else left_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in [task for task in asked if task in done]:
                if won is None and task.exception() is None:
                    won = task.result(), asked.pop(task)
                elif task.exception() is not None:
                    del asked[task]
    finally:
        await _give_back(list(asked))
    return won


async def _give_back(asked: Sequence[asyncio.Future[Granted]]) -> None:
    for task in asked:
        task.cancel()
    for granted in await asyncio.gather(*asked, return_exceptions=True):
        if not isinstance(granted, BaseException):
            granted[1].transport.close()  # in the background: a dead server would take a minute
