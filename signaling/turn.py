"""Which STUN and TURN servers a member may use, and with what credentials.

A TURN server relays for whoever it lets in, so it must let in members only, and no longer than
they are members. Credentials are coturn's "TURN REST API": the name is `expiry:pseudonym`, the
password an HMAC of it under a secret that this server and the TURN server share. So the TURN
server asks nobody, keeps no accounts, and refuses what has expired.

The pseudonym is a keyed hash of the group and the member, another one each day: the operator of
the TURN server can count what one member uses (coturn's `user-quota` goes by it) and cannot tell
who that is.

Pure: the wall clock is handed in.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from signaling.messages import ICE_SERVERS_MAX, ICE_URL, IceServer, IceServers, MemberId

LIFETIME_S = 3600.0
"""A relay that is in use outlives its credentials; they are needed to begin, or to move on."""
SECRET_CHARS_MIN = 24
"""Whoever guesses it relays without limit: an overheard credential lets anybody try offline."""
SECRET_CHARS_MAX = 1024
PSEUDONYM_BYTES = 12
DAY_S = 86_400

_PERSON = b"covey turn user"


class TurnError(ValueError):
    """TURN cannot be offered like this; the text says why, without the secret."""


@dataclass(frozen=True, slots=True)
class TurnConfig:
    """The TURN servers, which all know this secret. Raises TurnError."""

    urls: tuple[str, ...]
    secret: str = field(repr=False)
    lifetime_s: float = LIFETIME_S

    def __post_init__(self) -> None:
        for url in self.urls:
            if not (ICE_URL.fullmatch(url) and url.startswith("turn")):
                raise TurnError(f"«{url}» is not like turn:HOST:3478?transport=udp")
        if not self.urls or len(ice_servers_of(self.urls, "", "")) > ICE_SERVERS_MAX:
            raise TurnError(f"members take {ICE_SERVERS_MAX} STUN and TURN servers at most")
        if len(self.secret) < SECRET_CHARS_MIN:
            raise TurnError(f"the TURN secret has fewer than {SECRET_CHARS_MIN} characters")


def read_secret(path: Path) -> str:
    """The first line of a file. Raises TurnError, OSError."""
    with path.open("rb") as file:
        line = file.readline(SECRET_CHARS_MAX + 1).strip()
    try:
        secret = line.decode("ascii")
    except UnicodeDecodeError:
        raise TurnError("the TURN secret has letters beyond ASCII") from None
    if len(secret) > SECRET_CHARS_MAX or not secret.isprintable():
        raise TurnError("the first line of the TURN secret's file is no secret")
    return secret


class Relays:
    """What each member is given: the servers that need no credentials, and TURN with its own."""

    def __init__(
        self,
        fixed: tuple[IceServer, ...],
        turn: TurnConfig | None,
        wall_s: Callable[[], float],
    ) -> None:
        self._fixed, self._turn, self._wall_s = fixed, turn, wall_s

    def grant(self, name_id: bytes, member: MemberId) -> IceServers:
        """For a member who has joined, and for nobody else. Good for `lifetime_s` from now."""
        turn = self._turn
        if turn is None:
            return IceServers(self._fixed[:ICE_SERVERS_MAX], 0.0)
        now = self._wall_s()
        pseudonym = pseudonym_of(turn.secret, name_id, member, day=int(now) // DAY_S)
        username = f"{int(now + turn.lifetime_s)}:{pseudonym}"
        servers = ice_servers_of(turn.urls, username, password_of(turn.secret, username))
        return IceServers((*servers, *self._fixed)[:ICE_SERVERS_MAX], turn.lifetime_s)


def password_of(secret: str, username: str) -> str:
    """What coturn expects of this name."""
    mac = hmac.digest(secret.encode(), username.encode(), hashlib.sha1)
    return base64.b64encode(mac).decode("ascii")


def pseudonym_of(secret: str, name_id: bytes, member: MemberId, *, day: int) -> str:
    """The same for one member and one day, and nothing to anybody else."""
    key = hashlib.blake2b(secret.encode(), person=_PERSON).digest()
    text = name_id + member + day.to_bytes(8, "big")
    digest = hashlib.blake2b(text, digest_size=PSEUDONYM_BYTES, key=key, person=_PERSON)
    return digest.hexdigest()


def ice_servers_of(urls: tuple[str, ...], username: str, credential: str) -> tuple[IceServer, ...]:
    """TURN in the order given, then STUN at those of them that are spoken to over UDP.

    An entry each: a member that fails with one begins with the next.
    """
    turn = [IceServer((url,), username, credential) for url in urls]
    hosts = dict.fromkeys(
        url.removeprefix("turn:").partition("?")[0]
        for url in urls
        if url.startswith("turn:") and not url.endswith("=tcp")
    )
    return (*turn, *(IceServer((f"stun:{host}",)) for host in hosts))
