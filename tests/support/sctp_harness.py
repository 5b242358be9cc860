"""Two SCTP transports of aiortc on one virtual clock, with chosen losses. No sockets, no DTLS.

Faults that a correct transport must survive: any packet lost, any number of times but not for
ever; packets that overtake each other; packets that arrive twice.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from aiortc.rtcdatachannel import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import (
    Chunk,
    RTCSctpCapabilities,
    RTCSctpTransport,
    parse_packet,
    tsn_minus_one,
)

ONE_WAY_S = 0.01
T = TypeVar("T")


class _NoIO(selectors.BaseSelector):
    """Nothing to wait for: waiting means moving the clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def select(self, timeout=None):
        if timeout is None:
            raise RuntimeError("deadlock: no task can ever wake up")
        self.now += max(timeout, 0.0)
        return []

    def register(self, fileobj, events, data=None):
        return self._keys.setdefault(fileobj, selectors.SelectorKey(fileobj, 0, events, data))

    def unregister(self, fileobj):
        return self._keys.pop(fileobj)

    def get_map(self):
        return self._keys


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which time passes only when everybody waits."""

    def __init__(self) -> None:
        self._virtual = _NoIO()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


async def _cancel_the_rest() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` in virtual time. An exception that no task retrieved fails the run."""
    loop = VirtualLoop()
    unhandled: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    try:
        result = loop.run_until_complete(main)
    finally:
        loop.run_until_complete(_cancel_the_rest())
        loop.close()
    assert not unhandled, unhandled
    return result


Fate = Callable[[bytes, list[Chunk]], list[float]]  # the delays of the copies that arrive


def arrives(data: bytes, chunks: list[Chunk]) -> list[float]:
    return [ONE_WAY_S]


class Pipe:
    """What an SCTP transport needs of DTLS. `fate` decides what happens to each packet."""

    state = "connected"

    def __init__(self, role: str) -> None:
        self._role = role
        self.peer: Pipe
        self.receiver: RTCSctpTransport | None = None
        self.fate: Fate = arrives
        self.sent: list[Chunk] = []
        self.errors: list[BaseException] = []
        self._count = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def _register_data_receiver(self, receiver):
        self.receiver = receiver

    def _unregister_data_receiver(self, receiver):
        self.receiver = None

    async def _send_data(self, data: bytes) -> None:
        self.send_packets([data])

    def send_packets(self, packets: Sequence[bytes]) -> None:
        for data in packets:
            self._send(data)

    def _send(self, data: bytes) -> None:
        chunks = parse_packet(data)[3]
        self.sent += chunks
        loop = asyncio.get_running_loop()
        for delay in self.fate(data, chunks):
            # The loop does not keep the order of timers for the same moment.
            self._count += 1
            loop.call_later(delay + self._count * 1e-9, self.peer.arrive, data)

    def arrive(self, data: bytes) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver(data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, data: bytes) -> None:
        try:
            if self.receiver is not None and hasattr(self.receiver, "take_packet"):
                self.receiver.take_packet(data)
            elif self.receiver is not None:
                await self.receiver._handle_data(data)
        except Exception as error:  # what would end the connection of the real thing
            self.errors.append(error)


class Two:
    """Two transports and their channels; use as an async context manager."""

    def __init__(self, kind: type[RTCSctpTransport], first_tsn: int | None = None) -> None:
        self.left_pipe, self.right_pipe = Pipe("client"), Pipe("server")
        self.left_pipe.peer, self.right_pipe.peer = self.right_pipe, self.left_pipe
        self.left, self.right = kind(self.left_pipe), kind(self.right_pipe)  # type: ignore[arg-type]
        if first_tsn is not None:
            self.left._local_tsn = first_tsn
            self.left._last_sacked_tsn = tsn_minus_one(first_tsn)
            self.left._advanced_peer_ack_tsn = tsn_minus_one(first_tsn)
        self.received: list[bytes] = []

    async def __aenter__(self) -> Two:
        parameters = RTCDataChannelParameters(label="test", negotiated=True, id=0)
        self.left_channel = RTCDataChannel(self.left, parameters)
        self.right_channel = RTCDataChannel(self.right, parameters)
        self.right_channel.on("message", self.received.append)
        for transport in (self.left, self.right):
            await transport.start(RTCSctpCapabilities(65536), 5000)
        await self.until(lambda: self.left.state == self.right.state == "connected")
        return self

    async def __aexit__(self, *_: object) -> None:
        for transport in (self.left, self.right):
            await transport.stop()
        await asyncio.sleep(1)

    async def until(self, true: Callable[[], bool], timeout_s: float = 60.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not true():  # noqa: ASYNC110 - time is virtual
                await asyncio.sleep(0.005)
