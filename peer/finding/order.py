"""Where a group's server is to be looked for. Pure.

In this order, and never further than the first that applies:

1. the address that the person gave;
2. the domain in the group's name: `smiths@example.org` asks example.org. A domain that does not
   answer is an error, not a reason to look elsewhere: the group would silently fall apart;
3. the local network: a server that announces itself there, or else one that a member runs itself.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

LAN = "lan"
"""The address of "whatever server there is on the local network", where an address is asked for."""
DOMAIN_CHARS_MAX = 253
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")


class NotFound(Exception):
    """No server was found; the text says why and `next_step` what to do, for a person."""

    def __init__(self, text: str, next_step: str = "") -> None:
        super().__init__(text)
        self.next_step = next_step


@dataclass(frozen=True, slots=True)
class At:
    """At this address."""

    url: str


@dataclass(frozen=True, slots=True)
class Asking:
    """Where this domain's page says."""

    domain: str


@dataclass(frozen=True, slots=True)
class OnLan:
    """On the local network."""


Source = At | Asking | OnLan


def source_of(group: str, address: str | None) -> Source:
    """Where to look for the server of this group. Raises NotFound for what is no address."""
    if address == LAN:
        return OnLan()
    if address:
        if not is_url(address):
            raise NotFound(
                f"«{address}» is not the address of a server.",
                "Begin with https://, or say --server lan for the local network.",
            )
        return At(address)
    domain = domain_of(group)
    return OnLan() if domain is None else Asking(domain)


def domain_of(group: str) -> str | None:
    """The domain in a group's name, in ASCII, with a port if it has one; None without any.

    «us @ home» has none: a domain has a dot in it and no spaces.
    """
    _, at, said = group.strip().rpartition("@")
    if not at or not said.isprintable() or " " in said:
        return None
    name, colon, port = said.lower().partition(":")
    try:
        name = name.removesuffix(".").encode("idna").decode("ascii")
    except UnicodeError:
        return None
    if colon and not (port.isascii() and port.isdecimal() and 0 < int(port[:6]) < 65_536):
        return None
    if name != "localhost" and ("." not in name or _is_address(name)):
        return None
    if len(name) > DOMAIN_CHARS_MAX or not all(_LABEL.fullmatch(one) for one in name.split(".")):
        return None
    return name + colon + port


def is_url(text: str) -> bool:
    """Whether this may be the address of a server; whether one is there shows when it is called."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https", "ws", "wss") and bool(parts.hostname)
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
