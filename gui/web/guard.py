"""What every request must be, and what every answer says to the browser.

Any web page that the person visits can send requests to 127.0.0.1. So a request counts only when
its Host is this very address (no name that was bent to it), when the browser says that it comes
from our own pages or from nowhere (Origin, Sec-Fetch-Site), and when it brings a session's cookie,
which the browser sends with no request that another site caused. The cookie's name has the port in
it: browsers keep one jar for all ports of an address, and two agents must not push each other out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from gui.web.door import Door

HOST = "127.0.0.1"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
WITHOUT_COOKIE = ("/enter", "/key")
"""These two have proofs of their own: a one-time key, and the agent's secret."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guard(door: Door) -> Middleware:
    """The middleware that lets in or refuses."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            refusal = _refusal(request, door)
            return await handler(request) if refusal is None else refusal
        except web.HTTPException as error:
            return _no(error.status, error.reason)

    return check


async def strict_headers(request: web.Request, response: web.StreamResponse) -> None:
    """For `on_response_prepare`: the headers of every answer, refusals and open streams too."""
    response.headers.update(HEADERS)


def _refusal(request: web.Request, door: Door) -> web.Response | None:
    local = request.transport and request.transport.get_extra_info("sockname")
    if not local or request.host != f"{HOST}:{local[1]}":
        return _no(403, "This address is not served here.")
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"http://{request.host}":
        return _no(403, "Other pages may not ask here.")
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        return _no(403, "Other pages may not ask here.")
    if request.path in WITHOUT_COOKIE:
        return None
    if not door.is_open_to(request.cookies.get(cookie_name(request), "")):
        text = "Open Covey from your programs, or with the address that `covey url` prints."
        return _no(401, text)
    return None


def cookie_name(request: web.Request) -> str:
    """How the session's cookie of this agent is called."""
    return f"covey-{request.host.rpartition(':')[2]}"


def _no(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text)
