"""`covey:` links, which invite to a group: its name and its server, never its password.

covey:smiths?server=https%3A%2F%2Fexample.org
"""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass

SCHEME = "covey"
LETTERS_MAX = 2000


@dataclass(frozen=True, slots=True)
class Invitation:
    """To which group, and at which server ("" when it is found by itself)."""

    group: str
    server: str = ""


def write(invitation: Invitation) -> str:
    """The link."""
    query = urllib.parse.urlencode({"server": invitation.server} if invitation.server else {})
    group = urllib.parse.quote(invitation.group, safe="@")
    return f"{SCHEME}:{group}" + (f"?{query}" if query else "")


def read(link: str) -> Invitation:
    """The inverse. Raises ValueError with a clause that says what is wrong."""
    if len(link) > LETTERS_MAX:
        raise ValueError("it is too long")
    parts = _split(link.strip())
    if parts.scheme != SCHEME:
        raise ValueError("it does not begin with covey:")
    group = urllib.parse.unquote(parts.netloc + parts.path).strip("/").strip()
    if not group or not group.isprintable():
        raise ValueError("it names no group")
    query = urllib.parse.parse_qs(parts.query)
    if query.keys() - {"server"}:
        raise ValueError("it says something that no invitation says")
    server = query.get("server", [""])[0]
    if server and _split(server).scheme not in ("https", "http"):
        raise ValueError("its server is no address")
    return Invitation(group, server)


def _split(address: str) -> urllib.parse.SplitResult:
    try:
        return urllib.parse.urlsplit(address)
    except ValueError:
        raise ValueError("its address is not written as one") from None


def page_of(invitation: Invitation) -> str:
    """The page that joins, with its fields filled in."""
    given = [invitation.group, *([invitation.server] if invitation.server else [])]
    return "/".join(("start", "join", *(urllib.parse.quote(one, safe="") for one in given)))
