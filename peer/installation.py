"""Which installation of a member this is: tells computers apart that have the same recovery words.

A number that rises with each joining, recovering and taking over, and one that rises with each
start, both in the member card (`datachannel.credentials`). The wall clock only makes them
different; that they rise does not rest on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

STOPPED = (
    "Another computer backs up with the same recovery words, so this one has stopped: it keeps "
    "what friends gave it, and publishes nothing. If it is to go on in the place of the other one, "
    "say `covey agent --take-over` here."
)


@dataclass(frozen=True, slots=True)
class Installation:
    """`superseded_by` is the number of a newer one that was seen, 0 as long as there is none."""

    number: int
    started: int = 0
    superseded_by: int = 0

    @property
    def problem(self) -> str:
        """Why this computer must not act as the member; empty when it may."""
        return STOPPED if self.superseded_by else ""

    def begun(self, now_ns: int) -> Installation:
        """The same, started once more."""
        return replace(self, started=max(now_ns, self.started + 1))

    def superseded(self, number: int) -> Installation:
        """A computer with this number is at work: this one stops until it takes over."""
        return replace(self, superseded_by=max(number, 1))

    def taking_over(self, now_ns: int) -> Installation:
        """From now on this computer is the member, whatever others there are."""
        number = max(now_ns, self.number + 1, self.superseded_by + 1)
        return replace(self, number=number, superseded_by=0)


def new_installation(now_ns: int, before: int = 0) -> Installation:
    """Of a member who joins, or who is made anew after an installation with the number `before`."""
    return Installation(max(now_ns, before + 1))
