"""Call a signaling server, for `covey doctor`: whether it answers, and what time it has."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit, urlunsplit

import aiohttp

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Called:
    """What came of it. `why` is empty when a server answered; `date_s` is its clock, if it told."""

    why: str = ""
    advice: str = ""
    date_s: float | None = None
    took_s: float = 0.0


async def call(url: str) -> Called:
    """Ask a server whether it is one."""
    loop = asyncio.get_running_loop()
    parts = urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    address = urlunsplit((scheme, parts.netloc, "/healthz", "", ""))
    began = loop.time()
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(address, allow_redirects=False) as answer,
        ):
            took_s = loop.time() - began
            date_s = _date_of(answer.headers.get("Date", ""))
            if answer.status == 200:
                return Called(date_s=date_s, took_s=took_s)
            advice = "See whether the address is the right one."
            return Called(
                f"what answers there is no Covey server ({answer.status})", advice, date_s
            )
    except TimeoutError:
        advice = "See whether other pages open. If they do, whoever runs the server should look."
        return Called("it does not answer", advice)
    except aiohttp.ClientConnectorCertificateError:
        advice = "See that this computer's clock is right; else tell who runs the server."
        return Called("its certificate is not accepted", advice)
    except aiohttp.ClientConnectorDNSError:
        return Called("its name is not known", "Check how it is written, and the network.")
    except aiohttp.ClientConnectorError as error:
        if isinstance(error.os_error, socket.gaierror):
            return Called("its name is not known", "Check how it is written, and the network.")
        advice = "See whether other pages open. If they do, `covey serve` does not run there."
        return Called("nothing answers there", advice)
    except (aiohttp.ClientError, OSError, ValueError):
        return Called("it cannot be spoken to", "See whether the address is the right one.")


def _date_of(header: str) -> float | None:
    try:
        return parsedate_to_datetime(header).timestamp()
    except (ValueError, OverflowError):
        return None
