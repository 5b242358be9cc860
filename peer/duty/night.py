"""After a night: our own duty goes to friends, and what owners who are gone ask of us is done."""

from __future__ import annotations

from dataclasses import dataclass

from peer.duty.deputy import Acted, act_for_absent
from peer.duty.publish import Published, publish_duty
from peer.member import Member


@dataclass(frozen=True, slots=True)
class SeenTo:
    """What came of it."""

    published: Published
    acted: Acted

    @property
    def sentence(self) -> str:
        """For the log and the night's events."""
        return " ".join(filter(None, (self.published.sentence, self.acted.sentence)))


async def see_to_duties(member: Member) -> SeenTo:
    """Publish, then act."""
    published = await publish_duty(member)
    acted = Acted() if member.duties is None else await act_for_absent(member, member.duties)
    return SeenTo(published, acted)
