"""Ask a domain where its signaling server is: `https://example.org/.well-known/covey`.

The answer decides which server learns of the group, so it must come from the domain itself: over
https only, to each address of a redirect too. It is bounded in time, in size and in redirects, and
none of its words reach a person.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urljoin, urlsplit

import aiohttp

from peer.finding.order import NotFound
from signaling.wellknown import (
    WELL_KNOWN_BYTES_MAX,
    WELL_KNOWN_PATH,
    WellKnownError,
    read_page,
)

TIMEOUT_S = 10.0
REDIRECTS_MAX = 3
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_STEP = "Ask who runs the domain, or give the server's address with --server."


async def ask_domain(domain: str, *, plain_at_home: bool = False) -> str:
    """The URL of the domain's server. Raises NotFound.

    `plain_at_home` allows http at this very computer, for tests.
    """
    url = f"https://{domain}{WELL_KNOWN_PATH}"
    if plain_at_home and is_home(url):
        url = url.replace("https", "http", 1)
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), max_field_size=WELL_KNOWN_BYTES_MAX
            ) as session,
        ):
            for _ in range(1 + REDIRECTS_MAX):
                answer = await _get(session, url)
                if isinstance(answer, bytes):
                    return checked(read_page(answer), plain_at_home=plain_at_home)
                url = checked(urljoin(url, answer), plain_at_home=plain_at_home)
    except WellKnownError as error:
        raise NotFound(f"{domain} does not say where its server is: {error}.", _STEP) from error
    except TimeoutError as error:
        raise NotFound(f"{domain} does not answer.", "Check the network and the name.") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        step = "Check how the group's name is written, and the network."
        raise NotFound(f"{domain} cannot be asked for its server.", step) from error
    raise NotFound(f"{domain} sends from one place to the next.", _STEP)


def checked(url: str, *, plain_at_home: bool = False) -> str:
    """The same, if it may be called. Raises WellKnownError."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise WellKnownError("the address in it makes no sense") from None
    if parts.username or parts.password or not parts.hostname or not url.isprintable():
        raise WellKnownError("the address in it makes no sense")
    if parts.scheme != "https" and not (plain_at_home and parts.scheme == "http" and is_home(url)):
        raise WellKnownError("the address in it is not https")
    return url


def is_home(url: str) -> bool:
    """Whether this is an address of this very computer."""
    return urlsplit(url).hostname in LOCAL


async def _get(session: aiohttp.ClientSession, url: str) -> bytes | str:
    """The page, or where it says that the page is."""
    headers = {"Accept": "application/json"}
    async with session.get(url, headers=headers, allow_redirects=False) as response:
        if response.status in (301, 302, 303, 307, 308):
            return response.headers.get("Location", "")
        if response.status != 200:
            raise WellKnownError(f"it answers {response.status}")
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > WELL_KNOWN_BYTES_MAX:
                raise WellKnownError("the page is too long")
        return bytes(body)
