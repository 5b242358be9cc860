"""NAT-PMP's bytes, a router that answers them, and where Linux says that the router is."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datachannel.mapping import RouterRefused
from peer.finding import natpmp
from peer.finding.natpmp import NatPmpRouter, ask_open, ask_outside, read_open, read_outside
from peer.finding.routers import gateway
from peer.finding.upnp import gateway_guess, is_near

HERE = "127.0.0.1"
ROUTES = """Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask
eth0	0007A8C0	00000000	0001	0	0	0	00FFFFFF
eth0	00000000	0107A8C0	0003	0	0	0	00000000
"""


def test_the_questions_are_those_of_rfc_6886():
    assert ask_outside() == bytes.fromhex("0000")
    assert ask_open(0x1234, 0x5678, 3600) == bytes.fromhex("00010000 1234 5678 00000e10")


def test_answers_are_read_and_those_to_other_questions_are_not():
    outside = bytes.fromhex("0080 0000 00000001 0b000005")
    opened = bytes.fromhex("0081 0000 00000001 1234 5678 00000e10")
    assert read_outside(outside) == "11.0.0.5"
    assert read_open(opened, 0x1234) == 0x5678
    assert read_outside(opened) is read_open(outside, 0x1234) is read_open(opened, 7) is None
    with pytest.raises(RouterRefused, match="not allowed"):
        read_open(bytes.fromhex("0081 0002 00000001 1234 0000 00000000"), 0x1234)


@given(st.binary(max_size=40))
def test_whatever_comes_is_an_answer_a_refusal_or_nothing(data: bytes):
    for read in (read_outside, lambda answer: read_open(answer, 7)):
        try:
            assert read(data) is None or len(data) >= 12
        except RouterRefused:
            assert len(data) >= 4


class _Router(asyncio.DatagramProtocol):
    """Answers the second time, after nonsense."""

    def __init__(self) -> None:
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.asked += 1
        if self.asked == 2:
            self.transport.sendto(b"\x07nonsense", addr)
            self.transport.sendto(bytes.fromhex("0080 0000 00000001 0b000005"), addr)


async def test_a_lost_question_is_asked_again(monkeypatch: pytest.MonkeyPatch):
    loop = asyncio.get_running_loop()
    transport, router = await loop.create_datagram_endpoint(_Router, local_addr=(HERE, 0))
    monkeypatch.setattr(natpmp, "PORT", transport.get_extra_info("sockname")[1])
    try:
        assert await NatPmpRouter(HERE, HERE).outside() == "11.0.0.5"
        assert router.asked == 2
    finally:
        transport.close()


async def test_where_nobody_listens_is_no_router(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(natpmp, "FIRST_WAIT_S", 0.01)
    with pytest.raises(RouterRefused, match="does not answer"):
        await NatPmpRouter(HERE, HERE).outside()


def test_linux_tells_where_the_router_is():
    assert gateway(ROUTES) == "192.168.7.1"
    assert gateway("\n".join(ROUTES.splitlines()[:2])) is None
    assert gateway("") is None
    assert gateway_guess("192.168.7.42") == "192.168.7.1"


@pytest.mark.parametrize(
    ("location", "sender", "expected"),
    [
        ("http://192.168.7.1:5000/rootDesc.xml", "192.168.7.1", True),
        ("http://192.168.7.1:5000/rootDesc.xml", "192.168.7.9", False),  # sends elsewhere
        ("http://8.8.8.8/rootDesc.xml", "8.8.8.8", False),
        ("http://router.local/rootDesc.xml", "192.168.7.1", False),
        ("https://192.168.7.1/rootDesc.xml", "192.168.7.1", False),
        ("file:///etc/passwd", "192.168.7.1", False),
    ],
)
def test_only_a_description_at_who_answered_is_looked_at(
    location: str, sender: str, expected: bool
):
    assert is_near(location, {"_host": sender}) == expected
