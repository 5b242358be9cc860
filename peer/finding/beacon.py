"""How members of a group know each other's servers on a local network, and nobody else. Pure.

When a group's server cannot be reached, its members at home meet at one that a member runs there
(lan_servers.py). It is announced under a random name, with a tag that only who has the group's key
can make or check. The name is new each time, and so is the tag: to strangers two announcements of a
group look no more alike than those of two groups. The tag covers address and port, so that a
stranger who repeats it elsewhere is not taken for a friend.
"""

from __future__ import annotations

import hashlib
import hmac

TAG_BYTES = 16
_PERSON = b"covey lan beacon"


class Beacon:
    """Makes and checks the tags of one group; `group_key` is secret."""

    def __init__(self, group_key: bytes) -> None:
        self._key = hashlib.blake2b(group_key, digest_size=32, person=_PERSON).digest()

    def tag(self, name: str, address: str, port: int) -> bytes:
        """Of a server that is announced by this name at this address."""
        text = "\0".join((name, address, str(port))).encode()
        return hashlib.blake2b(text, digest_size=TAG_BYTES, key=self._key).hexdigest().encode()

    def is_ours(self, tag: bytes | None, name: str, address: str, port: int) -> bool:
        """Whether a member of the group has announced this."""
        return tag is not None and hmac.compare_digest(tag, self.tag(name, address, port))
