"""`/.well-known/covey`: the page at which a domain says where its signaling server is.

`covey serve` has it, so that a domain that is a server's own needs nothing more; another domain
puts the same few bytes there as a file. Members ask for it when a group's name ends in `@domain`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

WELL_KNOWN_PATH = "/.well-known/covey"
WELL_KNOWN_VERSION = 1
WELL_KNOWN_BYTES_MAX = 8 * 1024
"""Of the page: room for what later versions add."""
URL_CHARS_MAX = 400


class WellKnownError(ValueError):
    """This is no such page; the text says why, in words for a person."""


class WellKnown(msgspec.Struct, frozen=True):
    """The page. What is unknown in it is of a later version, and left alone."""

    url: Annotated[str, msgspec.Meta(max_length=URL_CHARS_MAX)]
    version: int = WELL_KNOWN_VERSION


def page(url: str) -> bytes:
    """The page that points to this server."""
    return msgspec.json.encode(WellKnown(url)) + b"\n"


def read_page(data: bytes) -> str:
    """The URL of the server. Raises WellKnownError."""
    if len(data) > WELL_KNOWN_BYTES_MAX:
        raise WellKnownError("the page is too long")
    try:
        found = msgspec.json.decode(data, type=WellKnown)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise WellKnownError("the page is not one of Covey") from None
    if found.version != WELL_KNOWN_VERSION:
        raise WellKnownError("the page is of a newer Covey; update this one")
    return found.url
