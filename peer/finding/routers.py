"""Find a router that opens ports: by NAT-PMP, which takes a moment, and by UPnP."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from datachannel.mapping import Router, RouterRefused
from peer.finding.natpmp import NatPmpRouter
from peer.finding.upnp import find_upnp_router, gateway_guess

PORTS_VARIABLE = "COVEY_MAP_PORTS"
"""`off`: no router is asked to open ports."""
TRIED_PORT = 47_808
TRIED_S = 60
_ROUTES = Path("/proc/net/route")
_IS_GATEWAY = 0x2


def maps_ports() -> bool:
    """Whether routers may be asked."""
    return os.environ.get(PORTS_VARIABLE, "") != "off"


async def find_router(own_address: Callable[[], str | None]) -> Router | None:
    """The router of our local network, if it opens ports."""
    inside = own_address()
    if inside is None:
        return None
    quick = NatPmpRouter(gateway(_routes()) or gateway_guess(inside), inside)
    try:
        await quick.outside()
    except RouterRefused:
        return await find_upnp_router(inside)
    return quick


async def try_router(own_address: Callable[[], str | None]) -> tuple[str, str, str] | None:
    """(protocol, its outside address, why it opens no port or "") of our router, for the doctor.

    A port is opened for a moment. None when there is no such router.
    """
    router = await find_router(own_address)
    if router is None:
        return None
    outside = ""
    try:
        outside = await router.outside()
        port = await router.open(TRIED_PORT, TRIED_S)
        await router.close(TRIED_PORT, port)
    except RouterRefused as error:
        return router.protocol, outside, str(error)
    return router.protocol, outside, ""


def gateway(routes: str) -> str | None:
    """The address of the router in what Linux tells of its routes; None when there is none."""
    for line in routes.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 3 and fields[1] == "00000000" and int(fields[3], 16) & _IS_GATEWAY:
            number = int(fields[2], 16).to_bytes(4, "little")
            return ".".join(str(byte) for byte in number)
    return None


def _routes() -> str:
    try:
        return _ROUTES.read_text()
    except OSError:
        return ""
