"""Where UDP is shut, whoever can only use UDP gives up early and leaves the time to the other."""

from __future__ import annotations

import asyncio
import socket

import pytest

from datachannel.engine import Engine
from datachannel.libdatachannel import SILENT_S, LibdatachannelEngine
from datachannel.webrtc import AiortcEngine
from signaling.messages import IceServer, MemberId

BEN = MemberId(b"b" * 32)
LIMIT_S = 0.5
"""More than a busy computer needs beside the waiting."""


async def seconds_to_gather(engine: Engine, *urls: str) -> float:
    attempt = engine.attempt(
        BEN, offerer=True, ice_servers=[IceServer((url,), "user", "credential") for url in urls]
    )
    loop = asyncio.get_running_loop()
    began = loop.time()
    described = await attempt.local_description()
    took_s = loop.time() - began
    await attempt.close()
    assert {one.kind for one in described.candidates} == {"host"}
    return took_s


@pytest.fixture
def silent():
    """The address of a server that never answers over UDP, and refuses over TCP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        yield "{}:{}".format(*server.getsockname())


@pytest.mark.slow
async def test_silence_over_udp_is_waited_for_half_as_long_when_there_is_turn_over_tcp(silent):
    stun, tcp = f"stun:{silent}", f"turn:{silent}?transport=tcp"
    engine = LibdatachannelEngine()
    assert await seconds_to_gather(engine, stun, tcp) < SILENT_S + LIMIT_S
    assert await seconds_to_gather(engine, stun) > SILENT_S + LIMIT_S


async def test_a_turn_server_that_refuses_does_not_hold_up_who_has_no_other(silent):
    assert await seconds_to_gather(AiortcEngine(), f"turn:{silent}?transport=tcp") < LIMIT_S
