"""An owner's computer is gone for weeks while friends leave: whole members in simulated time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from netsim.world.clock import WallClock, chance_of, run_at_once
from netsim.world.disk import default_root
from netsim.world.friends import Server
from netsim.world.member import Computer
from netsim.world.network import Line, Network
from netsim.world.trace import Trace
from peer.service import Event
from signaling.messages import MemberId

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.long]

DAY_S = 86_400.0
FRIENDS = 4
NEWCOMERS = 2


class Group:
    """Computers that live their days; whose nights fail is nobody's concern here."""

    def __init__(self, folder: Path, *, acts: bool) -> None:
        """Unless friends `act`, they know no duties."""
        self.folder, self.acts = folder, acts
        self.trace = Trace()
        self.network = Network(chance_of(1, "network"), self.trace)
        self.server = Server(self.network)
        self.computers: list[Computer] = []

    def add(self) -> Computer:
        number = len(self.computers)
        chance = chance_of(1, "computer", number)
        computer = Computer(
            f"m{number}",
            self.folder / f"m{number}",
            offer_bytes=8 << 20,
            chance=chance,
            server=self.server,
            trace=self.trace,
            clock=WallClock(),
            begins=lambda computer: None,
            ended=self.ended,
            touched=lambda holder, owner: None,
            blame=self.blame,
        )
        self.network.plug_in(computer.id, Line(latency_s=0.02))
        self.computers.append(computer)
        computer.disk.files.mkdir(parents=True, exist_ok=True)
        (computer.disk.files / "letter").write_bytes(chance.randbytes(30_000))
        self.switch_on(computer)
        return computer

    def switch_on(self, computer: Computer) -> None:
        computer.switch_on()
        assert computer.parts is not None
        if not self.acts:
            computer.parts.member.duties = None

    def ended(self, computer: Computer, event: Event) -> None:
        """A night is over."""

    def blame(self, error: BaseException) -> None:
        raise error

    def share_holders(self, owner: MemberId) -> list[str]:
        """Who keeps shares for an owner."""
        return [
            computer.name
            for computer in self.computers
            if computer.parts is not None and computer.parts.store.shares_by_owner().get(owner)
        ]


async def course(folder: Path, *, acts: bool) -> bool:
    """Whether an owner who lost its disk gets its letter back after all that happens here."""
    group = Group(folder, acts=acts)
    try:
        owner, *friends = [group.add() for _ in range(1 + FRIENDS)]
        await asyncio.sleep(3 * DAY_S)
        letter = (owner.disk.files / "letter").read_bytes()
        assert owner.nights.last_ok
        await owner.lose_disk()
        newcomers = [group.add() for _ in range(NEWCOMERS)]
        assert len(group.share_holders(owner.id)) == FRIENDS
        await asyncio.sleep(2 * DAY_S)
        await friends[0].go()
        await asyncio.sleep(45 * DAY_S)
        for friend in friends[1:3]:  # with the first one more than can be lost at once
            await friend.go()
        assert len(newcomers) == NEWCOMERS
        group.switch_on(owner)
        await asyncio.sleep(3 * DAY_S)
        back = owner.disk.files / "letter"
        return back.exists() and back.read_bytes() == letter
    finally:
        for computer in group.computers:
            await computer.switch_off()


@pytest.fixture
def folder():
    with default_root() as (root, _):
        yield root


def test_what_friends_repaired_meanwhile_brings_everything_back(folder):
    assert run_at_once(course(folder, acts=True))


def test_without_them_it_would_have_been_lost(folder):
    assert not run_at_once(course(folder, acts=False))
