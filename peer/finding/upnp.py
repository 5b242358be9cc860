"""UPnP: find the router that calls itself an Internet gateway, and ask it to open ports.

Anybody on the local network may answer a search, so an answer is followed only to the private
address that it came from; descriptions are bounded, and XML is read by a library that takes no
tricks.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from async_upnp_client.client import UpnpRequester, UpnpService
from async_upnp_client.client_factory import UpnpFactory
from async_upnp_client.const import HttpRequest, HttpResponse
from async_upnp_client.exceptions import UpnpActionError, UpnpError
from async_upnp_client.search import SsdpSearchListener

from datachannel.mapping import RouterRefused

GATEWAYS: Final = (
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
)
_SERVICES: Final = ("WANIPConnection", "WANPPPConnection")
SEARCH_S: Final = 2
TIMEOUT_S: Final = 5.0
PAGE_BYTES_MAX: Final = 512 * 1024
"""The longest descriptions of real routers are a tenth of that."""
LOCATIONS_MAX: Final = 4
CONFLICT: Final = 718
PERMANENT_ONLY: Final = 725
_OWN_NAME: Final = "covey"


class _Requester(UpnpRequester):
    """Speaks to one address only, and reads no more than a bound."""

    def __init__(self, host: str) -> None:
        self._host = host

    async def async_http_request(self, http_request: HttpRequest) -> HttpResponse:
        if urlsplit(http_request.url).hostname != self._host:
            raise UpnpError("a router sends elsewhere")
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
                session.request(
                    http_request.method,
                    http_request.url,
                    headers=http_request.headers,
                    data=http_request.body,
                    allow_redirects=False,
                ) as answer,
            ):
                page = bytearray()
                async for piece in answer.content.iter_any():
                    page += piece
                    if len(page) > PAGE_BYTES_MAX:
                        raise UpnpError("a router says too much")
                text = page.decode("utf-8", "replace")
                return HttpResponse(answer.status, dict(answer.headers), text)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise UpnpError("a router does not answer") from error


class UpnpRouter:
    """Implements `datachannel.mapping.Router`."""

    protocol = "UPnP"

    def __init__(self, service: UpnpService, inside: str) -> None:
        self._service, self.inside = service, inside

    async def outside(self) -> str:
        """See Router."""
        answer = await self._call("GetExternalIPAddress")
        return str(answer.get("NewExternalIPAddress") or "")

    async def open(self, port: int, lease_s: int) -> int:
        """See Router."""
        try:
            await self._open(port, lease_s)
        except UpnpActionError as error:
            if error.error_code != PERMANENT_ONLY:
                raise RouterRefused(_why(error)) from error
            try:
                await self._open(port, 0)  # until it is closed, or the router starts anew
            except UpnpActionError as refused:
                raise RouterRefused(_why(refused)) from refused
        return port

    async def close(self, port: int, outside: int) -> None:
        """See Router."""
        await self._call(
            "DeletePortMapping", NewRemoteHost="", NewExternalPort=outside, NewProtocol="UDP"
        )

    async def _open(self, port: int, lease_s: int) -> None:
        action = self._service.action("AddPortMapping")
        try:
            await action.async_call(
                NewRemoteHost="",
                NewExternalPort=port,
                NewProtocol="UDP",
                NewInternalPort=port,
                NewInternalClient=self.inside,
                NewEnabled=True,
                NewPortMappingDescription=_OWN_NAME,
                NewLeaseDuration=lease_s,
            )
        except UpnpActionError:
            raise
        except UpnpError as error:
            raise RouterRefused("it does not answer as it should") from error

    async def _call(
        self,
        name: str,
        **arguments: Any,  # noqa: ANN401 - what the action takes
    ) -> Mapping[str, Any]:
        try:
            return await self._service.action(name).async_call(**arguments)
        except UpnpActionError as error:
            raise RouterRefused(_why(error)) from error
        except (UpnpError, KeyError) as error:
            raise RouterRefused("it does not answer as it should") from error


async def find_upnp_router(inside: str) -> UpnpRouter | None:
    """The first gateway that answers a search from this address of ours."""
    found: list[str] = []

    async def heard(headers: Mapping[str, Any]) -> None:
        location = str(headers.get("location", ""))
        if len(found) < LOCATIONS_MAX and location not in found and is_near(location, headers):
            found.append(location)

    async with contextlib.AsyncExitStack() as stack:
        for kind in GATEWAYS:
            listener = SsdpSearchListener(
                async_callback=heard, timeout=SEARCH_S, search_target=kind, source=(inside, 0)
            )
            try:
                await listener.async_start()
            except (OSError, UpnpError):
                continue
            stack.callback(listener.async_stop)
            listener.async_search()
        await asyncio.sleep(SEARCH_S)
    for location in found:
        with contextlib.suppress(UpnpError, KeyError, ValueError):
            host = urlsplit(location).hostname or ""
            device = await UpnpFactory(_Requester(host), non_strict=True).async_create_device(
                location
            )
            for service in device.all_services:
                kind = service.service_type
                if any(one in kind for one in _SERVICES) and service.has_action("AddPortMapping"):
                    return UpnpRouter(service, inside)
    return None


def is_near(location: str, headers: Mapping[str, Any]) -> bool:
    """Whether a description lies at the private address from which the answer came."""
    try:
        parts = urlsplit(location)
        ip = ipaddress.IPv4Address(parts.hostname or "")
    except ValueError:
        return False
    return parts.scheme == "http" and ip.is_private and str(headers.get("_host")) == str(ip)


def _why(error: UpnpActionError) -> str:
    if error.error_code == CONFLICT:
        return "the port is taken"
    return f"it says no ({error.error_code})"


def gateway_guess(inside: str) -> str:
    """The router's likely address, where the system does not tell it: the first of the network."""
    return socket.inet_ntoa(ipaddress.IPv4Address(inside).packed[:3] + b"\x01")
