"""Who may come in: one-time keys that become sessions.

The agent's own file (`pages.json`, 0600) holds a secret; whoever can read it may have one-time keys
made. The secret itself is never sent: both sides prove that they know it, since the port of an
agent that was killed may be another user's program's by now. A key is good once and for ten
minutes. A browser that brings one gets a session, which lasts as long as the agent. So no secret
that lasts is ever in an address, which browsers remember.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

KEY_BYTES = 32
KEY_GOOD_S = 600.0
KEYS_MAX = 64
"""Keys that wait to be used; the oldest goes when there are more."""
SESSIONS_MAX = 256
"""Browsers that are let in; the oldest goes when there are more."""


def proof(secret: str, *said: str) -> str:
    """What only who knows the secret can say about these words, none of which has a newline."""
    return hmac.new(secret.encode(), "\n".join(said).encode(), "sha256").hexdigest()


class Door:
    """All keys and sessions of one agent. `now_s` is the event loop's clock."""

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes
        self._keys: dict[str, float] = {}
        self._sessions: dict[str, None] = {}
        self.secret = random_bytes(KEY_BYTES).hex()

    def knows_secret(self, given: str, nonce: str) -> bool:
        """Whether `given` proves, for this nonce, that the agent's own secret is known."""
        expected = proof(self.secret, "ask", nonce)
        return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())

    def new_key(self, now_s: float) -> str:
        """A one-time key."""
        self._forget_old(now_s)
        while len(self._keys) >= KEYS_MAX:
            del self._keys[next(iter(self._keys))]
        key = self._random_bytes(KEY_BYTES).hex()
        self._keys[key] = now_s + KEY_GOOD_S
        return key

    def enter(self, key: str, now_s: float) -> str | None:
        """A new session for a one-time key, which is used up by that; None for any other text."""
        self._forget_old(now_s)
        found = self._find(key, list(self._keys))
        if found is None:
            return None
        del self._keys[found]
        while len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[next(iter(self._sessions))]
        session = self._random_bytes(KEY_BYTES).hex()
        self._sessions[session] = None
        return session

    def is_open_to(self, session: str) -> bool:
        """Whether this is a session."""
        return self._find(session, list(self._sessions)) is not None

    def _forget_old(self, now_s: float) -> None:
        self._keys = {key: until for key, until in self._keys.items() if until > now_s}

    @staticmethod
    def _find(given: str, among: list[str]) -> str | None:
        """Compares with all of them, in the same time for any."""
        found = None
        for one in among:
            if hmac.compare_digest(given.encode("utf-8", "replace"), one.encode()):
                found = one
        return found
