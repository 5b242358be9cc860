"""What can go wrong between two members, by whose fault it is.

`Unavailable`: the world's. Try again later, or ask somebody else.
`Refusal`: nobody's. The other side understood and says no; its code says why.
`RemoteError`: theirs. They broke the protocol; the link is closed and they are asked no more.
"""

from __future__ import annotations


class Unavailable(Exception):
    """The other member cannot be reached now, or the link to it is gone."""


class LinkClosed(Exception):
    """The link is closed, from either side or by the network."""


class RemoteError(Exception):
    """The other member sent what no honest one sends."""


class ProtocolError(RemoteError):
    """Bytes or an order of messages that the protocol does not know."""


class Refusal(Exception):
    """The other member says no; `code` is one of `messages.REFUSAL_CODES`."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(text or code)
        self.code, self.text = code, text or code
