"""The group as one simulated member sees it: who is there, sessions to them, and the server.

`Server` stands for the signaling server: it tells each connected member the cards of all members
and who is online, a moment after it changed; whoever vanishes without a word is online for as long
as its lease lasts. It knows members only: an outsider's card is never told to anybody.

`SimGroup` is what a member is handed as `peer.ports.Friends` and `peer.node.Group`, with the rules
of `datachannel.mesh`: one session to each friend, made by whoever wants it first and used by both,
closed when nobody used it for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from datachannel.credentials import MemberCard
from datachannel.engine import LinkInfo
from datachannel.errors import RemoteError, Unavailable
from datachannel.link import Handler, PeerSession
from datachannel.roster import Farewell
from netsim.world.network import Network, SimLink
from netsim.world.tasks import Tasks
from signaling.messages import MemberId

LEASE_S = 12.0
"""How long the server takes a member for online that vanished (docs/protocol.md)."""
TELL_S = 0.05
"""From a change at the server until members have heard of it."""
DIAL_TRIPS = 4
"""Round trips until a link is open: signals, ICE, DTLS, handshake."""
DIAL_S_MAX = 20.0
"""What a dial that comes to nothing takes; as in `datachannel.mesh`."""
IDLE_S = 4.5
"""An unused session is closed, here before its first heartbeat is due: the real mesh waits for a
minute, in which a third of all frames of a simulated night would be heartbeats."""


@dataclass(frozen=True, slots=True)
class SimFriend:
    """A `peer.ports.Friend`."""

    member: MemberId
    card: MemberCard
    online: bool


class Server:
    """Who is a member, and who is there. `up` is whether it runs at all."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.up = True
        self._cards: dict[MemberId, MemberCard] = {}
        self._running: dict[MemberId, SimGroup] = {}
        self._online: dict[MemberId, None] = {}
        self._lost: dict[MemberId, asyncio.TimerHandle] = {}

    def join(self, group: SimGroup, card: MemberCard) -> None:
        """A member that has proven to be one runs and calls the server, with this card."""
        self._running[group.member] = group
        group.card = card
        self._see(group)

    def leave(self, member: MemberId, *, politely: bool) -> None:
        """A member runs no more. Politely, it says so."""
        self._running.pop(member, None)
        if politely and self.up and self.network.reaches_server(member):
            self._give_up(member)
        else:
            self._lose(member)

    def group_of(self, member: MemberId) -> SimGroup | None:
        """A member that can be called through the server."""
        group = self._running.get(member)
        return group if group is not None and group.reached else None

    def check(self) -> None:
        """The network has changed, or the server: see who is there still, or there again."""
        for member in list(self._online):
            if member not in self._running or not self._running[member].reached:
                self._lose(member)
        for group in list(self._running.values()):
            self._see(group)

    def _see(self, group: SimGroup) -> None:
        if not group.reached:
            return
        lost = self._lost.pop(group.member, None)
        if lost is not None:
            lost.cancel()
        self._cards[group.member] = group.card
        self._online[group.member] = None
        self._tell_soon()

    def _lose(self, member: MemberId) -> None:
        """It counts as online until its lease is over; one that nobody renews while we are down."""
        if member in self._online and member not in self._lost:
            loop = asyncio.get_running_loop()
            self._lost[member] = loop.call_later(LEASE_S, self._give_up, member)

    def _give_up(self, member: MemberId) -> None:
        lost = self._lost.pop(member, None)
        if lost is not None:
            lost.cancel()
        if member in self._online:
            del self._online[member]
            self._tell_soon()

    def _tell_soon(self) -> None:
        asyncio.get_running_loop().call_later(TELL_S, self._tell)

    def _tell(self) -> None:
        for group in self._running.values():
            if group.reached:
                group.hear(self._cards, self._online)


class SimGroup:
    """Implements `peer.ports.Friends` and `peer.node.Group` for one member."""

    problem = ""
    near_only = False
    server = "simulated"

    def __init__(self, server: Server, card: MemberCard, handler: Handler, tasks: Tasks) -> None:
        self.member = card.member_id
        self.is_running = True
        self.card = card
        self._server, self._network = server, server.network
        self._handler, self._tasks = handler, tasks
        self._known: dict[MemberId, SimFriend] = {}
        self._open: dict[MemberId, PeerSession] = {}
        self._dials: dict[MemberId, asyncio.Task[PeerSession]] = {}
        self._heard = asyncio.Event()
        server.join(self, card)

    # --- Friends ----------------------------------------------------------------------------

    def members(self) -> Mapping[MemberId, SimFriend]:
        """See Friends."""
        return self._known

    @property
    def reached(self) -> bool:
        """See Friends."""
        return self.is_running and self._server.up and self._network.reaches_server(self.member)

    async def session(self, member: MemberId) -> PeerSession:
        """See Friends."""
        session = self._open.get(member)
        if session is not None and not session.closed:
            return session
        known = self._known.get(member)
        if known is None:
            raise Unavailable("not a member of the group, as far as is known")
        if not known.online:
            raise Unavailable("the friend is not online")
        dial = self._dials.get(member)
        if dial is None:
            dial = self._dials[member] = self._tasks.spawn(self._dial(member))
            dial.add_done_callback(lambda _: self._dials.pop(member, None))
        try:
            return await asyncio.shield(dial)
        except asyncio.CancelledError:
            if dial.cancelled():
                raise Unavailable("this member is shutting down") from None
            raise

    async def _dial(self, member: MemberId) -> PeerSession:
        await asyncio.sleep(DIAL_TRIPS * self._network.round_trip_s(self.member, member))
        session = self._open.get(member)  # the other side may have been faster
        if session is not None and not session.closed:
            return session
        other = self._server.group_of(member)
        if other is None or not (self.reached and self._network.passes(self.member, member)):
            await asyncio.sleep(DIAL_S_MAX)
            raise Unavailable("the friend did not answer in time")
        near, far = self._network.connect(self.member, member)
        other._keep(far)
        return self._keep(near)

    def _keep(self, link: SimLink) -> PeerSession:
        session = PeerSession(link, self._handler, initiator=self.member < link.remote)
        before = self._open.get(link.remote)
        self._open[link.remote] = session
        if before is not None:
            self._tasks.spawn(before.close())
        self._tasks.spawn(self._serve(session))
        return session

    async def _serve(self, session: PeerSession) -> None:
        loop = asyncio.get_running_loop()
        idle = loop.call_later(IDLE_S, lambda: None)

        def look() -> None:
            nonlocal idle
            left = session.last_used + IDLE_S - loop.time()
            if left <= 0 and not session.open_streams and not session.closed:
                self._tasks.spawn(session.close())
            else:
                idle = loop.call_later(max(left, 0.5), look)

        look()
        try:
            await session.run()
        except RemoteError as error:
            self._network.trace.note("blames", self.member.hex()[:8], error)
        finally:
            idle.cancel()
            if self._open.get(session.remote) is session:
                del self._open[session.remote]

    # --- peer.upkeep.partings ---------------------------------------------------------------

    @property
    def farewells(self) -> Mapping[MemberId, Farewell]:
        """Nobody takes leave of a simulated group."""
        return {}

    def bid_farewell(self, member: MemberId, sealed: bytes) -> bool:
        """See `farewells`."""
        return False

    # --- Group ------------------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """See Group."""
        return self.reached

    def links(self) -> Sequence[LinkInfo]:
        """See Group."""
        return []

    async def move(self, url: str, *, alone: bool) -> None:
        """See Group; there is one server here."""
        raise Unavailable("there is no other server")

    async def ready(self, timeout_s: float) -> bool:
        """See Group."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._heard.wait()
        except TimeoutError:
            return False
        return self.reached

    # --- the server and the network ---------------------------------------------------------

    def hear(self, cards: Mapping[MemberId, MemberCard], online: Mapping[MemberId, object]) -> None:
        """What the server tells now."""
        self._known = {
            member: SimFriend(member, card, member in online)
            for member, card in sorted(cards.items())
            if member != self.member
        }
        self._heard.set()

    def announce(self, offer_bytes: int) -> None:
        """Tell the group how much is given from now on."""
        if self.is_running:
            self._server.join(self, replace(self.card, offer_bytes=offer_bytes))

    def stop(self, *, politely: bool) -> None:
        """This computer is off; politely, the server is told."""
        self.is_running = False
        self._server.leave(self.member, politely=politely)
