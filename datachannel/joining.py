"""The words of joining: the server's address and name, the signed Join, and what a no means.

No socket is here, so that the two ends of it can be tested without one.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from datachannel.credentials import Credentials, MemberCard
from datachannel.errors import Unavailable
from signaling.messages import VERSION, Challenge, Failed, Join, MoveNotice, join_transcript

PATH = "/v1/ws"
SCHEMES = {"http": ("ws", 80), "https": ("wss", 443), "ws": ("ws", 80), "wss": ("wss", 443)}

WORDS = {
    "unknown_group": "nobody has used this group's name at this server yet",
    "wrong_password": "the password is not the one of this group",
    "rate_limited": "the server asks to wait after too many attempts",
    "group_full": "the group has as many members as a group can have",
    "server_full": "the server takes no more groups or members",
    "replaced": "another computer has joined with the same recovery words",
    "bad_message": "the server does not understand this version of the program",
    "bad_signature": "the server goes by another name than the address that was used",
    "restarting": "the server is being restarted",
    "internal": "the server refuses without saying why",
}


class Unreachable(Unavailable):
    """The server cannot be reached now; the text says why, for a person."""


class Silent(Unreachable):
    """Nothing at all came back, not even a refusal."""


class JoinRefused(Exception):
    """The server does not let this member in; `code` is one of `messages.FAILED_CODES`.

    `twin` is the card of a newer computer with the same recovery words, when there is the proof.
    """

    def __init__(
        self, code: str, text: str, retry_after_s: float = 0.0, twin: MemberCard | None = None
    ) -> None:
        super().__init__(text)
        self.code, self.text, self.retry_after_s = code, text, retry_after_s
        self.twin = twin


class Servers(Protocol):
    """Which server to be at. It may change while the program runs."""

    async def address(self) -> str:
        """The URL to try now. Raises Unreachable."""
        ...

    def joined(self, url: str) -> None:
        """This server has let the member in."""
        ...

    def failed(self, url: str) -> bool:
        """It was not reached, has refused, or broke off. Whether there is another to try."""
        ...

    def moved(self, url: str, notice: MoveNotice) -> None:
        """The group has signed this, and `url` shows it: the group goes to another server."""
        ...

    async def better(self, url: str) -> None:
        """Come back when `url`, at which the member is, is to be left for another."""
        ...

    def knows_all(self, url: str) -> bool:
        """Whether that server knows the whole group, or only who is near it."""
        ...


class OneServer:
    """Always the same server."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def address(self) -> str:
        """See Servers."""
        return self._url

    def joined(self, url: str) -> None:
        """See Servers."""

    def failed(self, url: str) -> bool:
        """See Servers."""
        return False

    def moved(self, url: str, notice: MoveNotice) -> None:
        """See Servers."""

    async def better(self, url: str) -> None:
        """See Servers."""
        await asyncio.Event().wait()

    def knows_all(self, url: str) -> bool:
        """See Servers."""
        return True


def refusal_of(failed: Failed) -> JoinRefused:
    """In our own words: what a server says is not for a person's terminal."""
    code = failed.code if failed.code in WORDS else "internal"
    return JoinRefused(code, WORDS[code], failed.retry_after_s)


def replaced_by(twin: MemberCard) -> JoinRefused:
    """This computer gives way to a newer one."""
    return JoinRefused("replaced", WORDS["replaced"], twin=twin)


def signed_join(
    credentials: Credentials, card: bytes, server_name: str, challenge: Challenge, create: bool
) -> Join:
    """The signatures cover the server that *we* called, not the one that it says it is."""
    transcript = join_transcript(
        server_name=server_name,
        nonce=challenge.nonce,
        name_id=credentials.name_id,
        group_key=credentials.group_public_key,
        identity_key=credentials.identity_public_key,
        create=create,
        card=card,
    )
    return Join(
        version=VERSION,
        name_id=credentials.name_id,
        group_key=credentials.group_public_key,
        identity_key=credentials.identity_public_key,
        create=create,
        card=card,
        group_signature=credentials.sign_as_group(transcript),
        identity_signature=credentials.sign_as_member(transcript),
    )


def websocket_address(url: str) -> tuple[str, str]:
    """(the WebSocket's URL, the server's name: host[:port]) of a URL. Raises Unreachable.

    Names are as in the Host header: lower case, no default port, letters beyond ASCII as IDNA.
    """
    try:
        parts = urlsplit(url.strip())
        scheme, default_port = SCHEMES[parts.scheme]
        host, port = parts.hostname or "", parts.port
        if ":" in host:
            name = f"[{ipaddress.IPv6Address(host)}]"
        else:
            name = host.encode("ascii" if host.isascii() else "idna").decode("ascii")
    except (KeyError, ValueError) as error:
        raise Unreachable(f"«{url}» is not the URL of a server") from error
    if not name or any(not char.isalnum() and char not in "-._[]:" for char in name):
        raise Unreachable(f"«{url}» names no server")
    if port not in (None, default_port):
        name = f"{name}:{port}"
    path = parts.path.rstrip("/").removesuffix(PATH) + PATH
    return urlunsplit((scheme, name, path, "", "")), name
