"""NAT-PMP (RFC 6886): ask a router, in one datagram, to open a port. The formats are pure.

There is no kept library for it, and it is two questions:

    0 0                                                     -> 0 128 result time address
    0 1 0 0  our port, port outside, lease (0 closes it)    -> 0 129 result time ports lease

Numbers are big-endian. The router is asked again after a quarter of a second, then after half.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from typing import Final, TypeVar

from datachannel.mapping import RouterRefused

T = TypeVar("T")

PORT: Final = 5351
FIRST_WAIT_S: Final = 0.25
TRIES: Final = 3
"""RFC 6886 says nine, which takes two minutes; a router at home answers at once or not at all."""
_OUTSIDE, _OPEN_UDP, _ANSWER = 0, 1, 128
_WHY = {
    1: "it speaks another version",
    2: "it is not allowed to",
    3: "it has no network itself",
    4: "it has no room for more",
    5: "it does not know the wish",
}


def ask_outside() -> bytes:
    """What is the address outside?"""
    return bytes((0, _OUTSIDE))


def ask_open(port: int, outside: int, lease_s: int) -> bytes:
    """Open this port of ours, at that port outside if it is free."""
    return (
        bytes((0, _OPEN_UDP, 0, 0))
        + port.to_bytes(2, "big")
        + outside.to_bytes(2, "big")
        + lease_s.to_bytes(4, "big")
    )


def read_outside(answer: bytes) -> str | None:
    """The address, or None when it is no answer to that. Raises RouterRefused."""
    if not _is_answer(answer, _OUTSIDE, 12):
        return None
    return str(ipaddress.IPv4Address(answer[8:12]))


def read_open(answer: bytes, port: int) -> int | None:
    """The port outside, or None when it is no answer to that. Raises RouterRefused."""
    if not _is_answer(answer, _OPEN_UDP, 16) or int.from_bytes(answer[8:10], "big") != port:
        return None
    return int.from_bytes(answer[10:12], "big")


def _is_answer(answer: bytes, question: int, length: int) -> bool:
    if len(answer) < 4 or answer[0] != 0 or answer[1] != _ANSWER + question:
        return False
    if result := int.from_bytes(answer[2:4], "big"):
        raise RouterRefused(_WHY.get(result, "it says no"))
    return len(answer) >= length


class _Answers(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.came: asyncio.Queue[bytes] = asyncio.Queue(maxsize=8)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self.came.full():
            self.came.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        if not self.came.full():
            self.came.put_nowait(b"")  # nobody listens there


class NatPmpRouter:
    """Implements `datachannel.mapping.Router`."""

    protocol = "NAT-PMP"

    def __init__(self, gateway: str, inside: str) -> None:
        self.inside, self._gateway = inside, gateway

    async def outside(self) -> str:
        """See Router."""
        return await self._ask(ask_outside(), read_outside)

    async def open(self, port: int, lease_s: int) -> int:
        """See Router."""
        question = ask_open(port, port, lease_s)
        outside = await self._ask(question, lambda answer: read_open(answer, port))
        if not outside:
            raise RouterRefused("it says nothing that makes sense")
        return outside

    async def close(self, port: int, outside: int) -> None:
        """See Router."""
        await self._ask(ask_open(port, 0, 0), lambda answer: read_open(answer, port))

    async def _ask(self, question: bytes, read: Callable[[bytes], T | None]) -> T:
        try:
            transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
                _Answers,
                remote_addr=(self._gateway, PORT),  # connected: only its answers come
            )
        except OSError as error:
            raise RouterRefused("it is not reached") from error
        answers, wait_s = protocol, FIRST_WAIT_S
        try:
            for _ in range(TRIES):
                transport.sendto(question)
                try:
                    async with asyncio.timeout(wait_s):
                        while True:
                            found = read(await answers.came.get())
                            if found is not None:
                                return found
                except TimeoutError:
                    wait_s *= 2
        finally:
            transport.close()
        raise RouterRefused("it does not answer")
