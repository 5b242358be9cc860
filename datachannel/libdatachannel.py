"""The libdatachannel engine: links like those of aiortc, by a C++ library, several times faster.

On the wire it is what the aiortc engine is (RFC 8831, one negotiated channel with number 0), so
each end chooses its engine for itself. ICE (libjuice), DTLS and SCTP (usrsctp) run in threads of
the library; here are only whole frames.

The package `aiolibdatachannel` is used by its imperative layer, `_core`. Its asyncio layer has a
receive queue of 1,024 messages that drops the oldest when it is full, and a `send` that can hang;
with `_core` the queue is ours (channel_link.py): bounded by more than all credits together, and who
overruns it is cut off. `_core` is private to the package, so `engines.py` takes it for exactly one
version, after it was tried out in a process of its own.

Callbacks come in threads of the library. Each hands itself to the loop, in order, and does nothing
else, so everything below runs on the loop's thread unless it says otherwise.

Not here: TURN over TCP or TLS, which libjuice lacks. engines.py knows when it is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import quote

from aiolibdatachannel import RTCError, _core

from datachannel.channel_link import (
    BUFFERED_BYTES_LOW,
    MESSAGE_BYTES_MAX,
    RECEIVED_BYTES_MAX,
    RECEIVED_FRAMES_MAX,
    ChannelLink,
)
from datachannel.errors import Unavailable
from datachannel.libdatachannel_pair import is_relayed
from datachannel.libdatachannel_sdp import MEDIA_ID, NotUnderstood, description_of, line_of, sdp_of
from datachannel.relays import has_stream_turn
from datachannel.signals import Candidate, Description
from signaling.messages import IceServer, MemberId

STREAM_ID: Final = 0
GATHER_S_MAX: Final = 3.0
"""A STUN server that is silent would hold everything up for much longer, out of our 15 s."""
SILENT_S: Final = 1.5
"""When no server has answered for so long, and there is TURN over TCP or TLS, UDP is probably shut
and the engine that can use those needs the time. A server is asked twice within it."""
CLOSE_S_MAX: Final = 3.0
CUT_BYTES: Final = MESSAGE_BYTES_MAX + 1
"""The library cuts a longer message short and says nothing; one of this length is no frame."""
_ICE_CONNECTED: Final = (2, 3)  # connected, completed
_OVER: Final = (3, 4, 5)  # disconnected, failed, closed
_GATHERED: Final = 2
_LOG_NOTHING: Final = 0

_log = logging.getLogger("covey.datachannel")


class LibdatachannelLink(ChannelLink):
    """A Link over libdatachannel's data channel."""

    engine = "libdatachannel"

    def __init__(
        self,
        remote: MemberId,
        channel: _core.DataChannel,
        close: Callable[[], Awaitable[None]],
        look: Callable[[], bool | None],
    ) -> None:
        super().__init__(remote, close)
        self._channel = channel
        self._look = look
        self._loop = asyncio.get_running_loop()
        # Between the library's thread and the loop. Each counter has one thread that writes it.
        self._landed: deque[bytes | str] = deque()
        self._landed_bytes = 0
        self._fetched_bytes = 0
        self._fetching = False
        channel.set_buffered_amount_low_threshold(BUFFERED_BYTES_LOW)
        channel.set_on_open(lambda: call(self._loop, self.opened_now))
        channel.set_on_message(self._land)
        channel.set_on_buffered_amount_low(lambda: call(self._loop, self.drained_now))
        channel.set_on_closed(lambda: call(self._loop, self.lose))
        channel.set_on_error(lambda _: call(self._loop, self.lose))

    @property
    def is_relayed(self) -> bool | None:
        """Whether it goes through a TURN server now; None when unknown, or over.

        A link opens over the first path that works, often the relay's, and moves to a direct one
        that is found within the next seconds.
        """
        return None if self.closed else self._look()

    def destroy(self) -> None:
        """End the channel itself. No callback comes after it. Blocks: not on the loop's thread."""
        self._channel.destroy()

    def _send(self, frame: bytes) -> bool:
        try:
            self._channel.send_bytes(frame)
        except RTCError:
            return False
        return True

    def _queued_bytes(self) -> int:
        try:
            return self._channel.buffered_amount()
        except RTCError:
            return 0

    def _land(self, frame: bytes | str) -> None:
        """A message, in a thread of the library. Must not block, and must bound what it keeps."""
        if (
            len(self._landed) >= RECEIVED_FRAMES_MAX
            or self._landed_bytes - self._fetched_bytes > RECEIVED_BYTES_MAX
        ):
            call(self._loop, self.overrun)
            return
        self._landed_bytes += len(frame)
        self._landed.append(frame)
        if not self._fetching:  # else it is fetched with those before it
            self._fetching = True
            call(self._loop, self._fetch)

    def _fetch(self) -> None:
        self._fetching = False  # before the look: what lands from now on asks to be fetched again
        while self._landed:
            frame = self._landed.popleft()
            self._fetched_bytes += len(frame)
            self.arrived(frame)


class LibdatachannelAttempt:
    """One try to connect to one member."""

    def __init__(
        self, remote: MemberId, *, offerer: bool, ice_servers: Sequence[IceServer]
    ) -> None:
        self._offerer = offerer
        self._has_other_way = has_stream_turn(ice_servers)
        self._loop = asyncio.get_running_loop()
        self._gathered = asyncio.Event()
        self._ice_connected = False
        self._closing: asyncio.Task[None] | None = None
        self._peer = _core.PeerConnection(server_urls(ice_servers), max_message_size=CUT_BYTES)
        self._peer.set_on_gathering_state_change(
            lambda state: call(self._loop, self._on_gathering, state)
        )
        self._peer.set_on_ice_state_change(lambda state: call(self._loop, self._on_ice, state))
        self._peer.set_on_state_change(lambda state: call(self._loop, self._on_state, state))
        self._remote: list[Candidate] = []
        self._strangers: list[int] = []
        self._peer.set_on_data_channel(self._on_stranger)
        channel = _core.DataChannel(
            self._peer.create_data_channel(
                "covey", negotiated=True, manual_stream=True, stream=STREAM_ID
            )
        )
        self._link = LibdatachannelLink(
            remote, channel, self.close, lambda: is_relayed(self._peer.handle, self._remote)
        )

    async def local_description(self, offer: Description | None = None) -> Description:
        """Find our own addresses and say what the other end must know. Raises Unavailable."""
        try:
            if self._offerer:
                await asyncio.to_thread(self._peer.set_local_description, "offer")
            else:
                if offer is None or offer.setup != "actpass":
                    raise Unavailable("the other end took the wrong part")
                await asyncio.to_thread(self._peer.set_remote_description, sdp_of(offer), "offer")
                await asyncio.to_thread(self._peer.set_local_description, "answer")
            return await self._gather()
        except (RTCError, NotUnderstood) as error:
            raise _given_up(error) from None

    async def _gather(self) -> Description:
        """Wait for what the servers say of us, but not for ever."""
        for wait_s in (SILENT_S, GATHER_S_MAX - SILENT_S):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._gathered.wait()
            found = description_of(self._peer.get_local_description() or "")
            is_silent = all(one.kind == "host" for one in found.candidates)
            if self._gathered.is_set() or (is_silent and self._has_other_way):
                break
        return found

    async def connect(self, remote: Description) -> LibdatachannelLink:
        """Connect to the other end; raises Unavailable. After `local_description`, once.

        It may take half a minute to fail: the caller has a timer.
        """
        if (remote.setup == "actpass") == self._offerer:
            raise Unavailable("the other end took the wrong part")
        if remote.complete and not remote.candidates:
            raise Unavailable("no path to the other end was found")
        if self._offerer:
            try:
                await asyncio.to_thread(self._peer.set_remote_description, sdp_of(remote), "answer")
            except RTCError as error:
                raise _given_up(error) from None
        self._remote += remote.candidates
        if not await self._link.opened():
            if self._ice_connected:
                raise Unavailable("the other end has another certificate, or vanished")
            raise Unavailable("no path to the other end was found")
        return self._link

    async def add_candidates(self, candidates: Sequence[Candidate], *, complete: bool) -> None:
        """Take addresses of the other end. That there are no more is not told to the library."""
        self._remote += candidates
        for candidate in candidates:
            with contextlib.suppress(RTCError):
                await asyncio.to_thread(
                    self._peer.add_remote_candidate, line_of(candidate), MEDIA_ID
                )

    def close(self) -> asyncio.Future[None]:
        """Give the attempt up, or end the connection. May be called many times."""
        if self._closing is None:
            self._closing = self._loop.create_task(self._close())
        return asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._link.lose()
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                await asyncio.to_thread(self._destroy)
        except TimeoutError:
            _log.info("a connection took long to close and was left behind")

    def _destroy(self) -> None:
        """In a thread: it waits for callbacks that are under way."""
        self._peer.close()
        self._link.destroy()
        for handle in self._strangers:
            _core.DataChannel(handle).destroy()
        self._peer.destroy()

    def _on_stranger(self, handle: int) -> None:
        """The other end opens a channel, in a thread of the library. What came on it would be kept
        and never read."""
        self._strangers.append(handle)
        call(self._loop, self._link.overrun)

    def _on_gathering(self, state: int) -> None:
        if state == _GATHERED:
            self._gathered.set()

    def _on_ice(self, state: int) -> None:
        self._ice_connected = self._ice_connected or state in _ICE_CONNECTED

    def _on_state(self, state: int) -> None:
        if state in _OVER:
            self._link.lose()
            self._gathered.set()


class LibdatachannelEngine:
    """Makes attempts with libdatachannel."""

    name = "libdatachannel"

    def __init__(self) -> None:
        # Below warnings the library's log holds SDP with its passwords, and it has no other place
        # for warnings than the standard output.
        _core.init_logger(_LOG_NOTHING, None)

    def attempt(
        self, remote: MemberId, *, offerer: bool, ice_servers: Sequence[IceServer]
    ) -> LibdatachannelAttempt:
        """A new try to connect. `close` it, or the link that it became."""
        return LibdatachannelAttempt(remote, offerer=offerer, ice_servers=ice_servers)


def server_urls(servers: Sequence[IceServer]) -> list[str]:
    """The servers that libdatachannel understands, with the credentials where it wants them."""
    return [
        with_credentials(url, server.username, server.credential)
        for server in servers
        for url in server.urls
        if is_understood(url)
    ]


def is_understood(url: str) -> bool:
    """Whether it is STUN, or TURN over UDP, at a name or an IPv4 address."""
    scheme, _, rest = url.partition(":")
    place, _, query = rest.partition("?")
    host, _, port = place.partition(":")
    return (
        (scheme == "stun" or (scheme == "turn" and query in ("", "transport=udp")))
        and bool(host)
        and all(char.isalnum() or char in "-._" for char in host)
        and (not port or (port.isdecimal() and 0 < int(port) < 1 << 16))
    )


def with_credentials(url: str, username: str, credential: str) -> str:
    """libdatachannel takes them within the URL."""
    scheme, _, rest = url.partition(":")
    if scheme == "stun":
        return url
    return f"{scheme}:{quote(username, safe='')}:{quote(credential, safe='')}@{rest}"


def call(loop: asyncio.AbstractEventLoop, work: Callable[..., None], *arguments: object) -> None:
    """Have it done on the loop's thread, from any thread; not at all when the loop is over."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(work, *arguments)


def _given_up(error: Exception) -> Unavailable:
    _log.warning("libdatachannel cannot begin a connection: %s", type(error).__name__)
    return Unavailable("the connection could not be begun")
