"""What must hold in a world after every event, whatever happened. The first breach ends the run.

    rebuildable   a snapshot that its owner was told is safe: of each pack that it needs, enough
                  different shares lie on disks that are not gone for good. "Any 3 can vanish" is
                  taken at its word: until more than 3 did, within the time that repair may take
    named         every share's bytes have its name
    within offer  nobody holds more than it offers, and what it believes to hold it holds
    fair          nobody takes more than it offers
    no strangers  nobody from outside the group has had an effect

All of it is read from the disks and knows nothing of what the members believe. It is kept up to
date by looking at those folders alone that a request may have changed (`touched`), and in full by
`check_all`. What must hold only after a quiet week is in `quiet.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from chunking.formats import SHARE_HEADER_BYTES, FormatError
from chunking.share import ShareHasher
from netsim.world.member import Computer
from peer.holding.disk import size_below
from peer.holding.layout import Layout
from signaling.messages import MemberId

REPAIR_S = 10 * 86_400.0
"""A friend counts as gone after 3 days or, when it was often away, some more; then a few nights
must have brought its shares elsewhere."""


class Violation(Exception):
    """What must hold does not; the text says what, and where."""


@dataclass(frozen=True, slots=True)
class Need:
    """A pack that a safe snapshot needs: any `needed` of its shares."""

    pack: bytes
    needed: int
    shares: tuple[bytes, ...]


@dataclass(slots=True)
class _Folder:
    """What one holder has of one owner: name -> bytes of the file."""

    shares: dict[bytes, int] = field(default_factory=dict)
    total: int = 0


@dataclass(slots=True)
class _Promise:
    """What an owner was told: when, and how many friends may vanish."""

    told: list[tuple[float, int]] = field(default_factory=list)

    def spare(self, since_s: float) -> int:
        """The least of what was told since then, and last before."""
        before = [spare for at_s, spare in self.told if at_s <= since_s]
        return min([*before[-1:], *(spare for at_s, spare in self.told if at_s > since_s)])


class Watch:
    """Looks at the disks of all computers. Packs lost beyond what was promised are in `lost`."""

    def __init__(self, computers: Mapping[MemberId, Computer], now: Callable[[], float]) -> None:
        """`now` is the loop's time."""
        self._computers, self._now = computers, now
        self._promises: dict[MemberId, _Promise] = {}
        self._losses: list[tuple[float, MemberId]] = []
        self._folders: dict[tuple[MemberId, MemberId], _Folder] = {}
        self._dirty: dict[tuple[MemberId, MemberId], None] = {}
        self._holders: dict[bytes, int] = {}
        """How many disks have a share."""
        self._needs: dict[MemberId, dict[bytes, Need]] = {}
        self._roots: dict[MemberId, tuple[int, int]] = {}
        self._need_of: dict[bytes, tuple[MemberId, bytes]] = {}
        self.lost: set[tuple[MemberId, bytes]] = set()
        self.checks = 0
        self.taken_bytes = 0
        """Of all shares that ever came to a disk."""
        self.packed_bytes = 0
        """Of all packs that ever were safe."""
        self._counted: set[bytes] = set()

    # --- what happened ----------------------------------------------------------------------

    def touched(self, holder: MemberId, owner: MemberId) -> None:
        """A request of `owner` at `holder` is over; look there."""
        if owner not in self._computers:
            raise Violation(f"{self._name(holder)} answered a request of a stranger")
        self._dirty[holder, owner] = None
        self.check()

    def disk_gone(self, holder: MemberId) -> None:
        """All that a computer held is gone, for good."""
        self._losses.append((self._now(), holder))
        for one, owner in list(self._folders):
            if one == holder:
                self._dirty[one, owner] = None
        self.check()

    def reported_safe(self, owner: MemberId, spare: int) -> None:
        """An owner was just told that its snapshot is safe, and that any `spare` can vanish."""
        self._promises.setdefault(owner, _Promise()).told.append((self._now(), max(spare, 0)))
        self._learn_needs(owner)
        for need in self._needs[owner].values():
            self._check_need(owner, need)

    def _learn_needs(self, owner: MemberId) -> None:
        """What an owner's newest root record needs: older packs may go as soon as it is written."""
        computer = self._computers[owner]
        if computer.parts is None:
            return
        found = os.stat(computer.disk.home / "root")
        if self._roots.get(owner) == (stamp := (found.st_ino, found.st_mtime_ns)):
            return
        self._roots[owner] = stamp
        self.forgotten(owner)
        rows = list(computer.parts.member.catalog.packs())
        needs = {bytes(r.id): Need(r.id, r.needed, tuple(r.shares)) for r in rows if r.safe}
        self._needs[owner] = needs
        self.packed_bytes += sum(
            r.length for r in rows if bytes(r.id) in needs.keys() - self._counted
        )
        self._counted |= needs.keys()
        for need in needs.values():
            for name in need.shares:
                self._need_of[name] = owner, need.pack

    def forgotten(self, owner: MemberId) -> None:
        """An owner is gone for good: nobody needs its backups."""
        for need in self._needs.pop(owner, {}).values():
            for name in need.shares:
                self._need_of.pop(name, None)

    # --- looking ----------------------------------------------------------------------------

    def check(self) -> None:
        """Look where something may have changed. Raises Violation."""
        self.checks += 1
        dirty, self._dirty = self._dirty, {}
        for holder, owner in dirty:
            self._look(holder, owner)

    def check_all(self) -> None:
        """Look at everything, down to the last byte. Raises Violation."""
        for holder in self._computers:
            for owner in self._computers:
                self._look(holder, owner, anew=True)
            self._check_sum(self._computers[holder])
        for owner, needs in self._needs.items():
            for need in needs.values():
                self._check_need(owner, need)

    def missing(self, owner: MemberId, friends: int) -> int | None:
        """How many shares the thinnest pack lacks of those that it was coded into, or of one for
        each friend when they are fewer; None before the first safe snapshot."""
        needs = self._needs.get(owner, {}).values()
        lacking = (min(len(need.shares), friends) - self._there(need) for need in needs)
        return max(lacking, default=None)

    def needs(self, owner: MemberId) -> list[tuple[int, list[MemberId]]]:
        """For each pack of an owner's safe snapshots: k, and who has a share of it."""
        have: dict[bytes, list[MemberId]] = {}
        for (holder, whose), folder in sorted(self._folders.items()):
            if whose == owner:
                for name in folder.shares:
                    have.setdefault(name, []).append(holder)
        return [
            (need.needed, [holder for name in need.shares for holder in have.get(name, ())])
            for need in self._needs.get(owner, {}).values()
        ]

    def stored_bytes(self) -> int:
        """On all disks together, of shares."""
        return sum(folder.total for folder in self._folders.values())

    def _look(self, holder: MemberId, owner: MemberId, *, anew: bool = False) -> None:
        computer = self._computers[holder]
        folder = Layout(computer.disk.home / "held").owner(owner) / "shares"
        before = self._folders.get((holder, owner), _Folder())
        now = _Folder(_sizes(folder))
        now.total = sum(now.shares.values())
        self._folders[holder, owner] = now
        for name in now.shares.keys() - before.shares.keys() if not anew else now.shares.keys():
            _check_bytes(folder, name, computer.name)
        for name in sorted(now.shares.keys() - before.shares.keys()):
            self._holders[name] = self._holders.get(name, 0) + 1
            self.taken_bytes += now.shares[name] - SHARE_HEADER_BYTES
        gone = sorted(before.shares.keys() - now.shares.keys())
        for name in gone:
            self._holders[name] -= 1
        missed = [name for name in gone if not self._holders[name] and name in self._need_of]
        if missed:
            self._learn_needs(owner)
        for name in missed:
            if name in self._need_of:
                self._check_need(owner, self._needs[owner][self._need_of[name][1]])
        self._check_offer(computer)
        if now.total > before.total:
            self._check_fair(owner)

    def _check_need(self, owner: MemberId, need: Need) -> None:
        there = self._there(need)
        if there >= need.needed or (owner, need.pack) in self.lost:
            return
        since_s = self._now() - REPAIR_S
        losses = {one for at_s, one in self._losses if at_s > since_s and one != owner}
        if len(losses) > self._promises[owner].spare(since_s):
            self.lost.add((owner, need.pack))
            return
        raise Violation(
            f"a safe snapshot of {self._name(owner)} cannot be rebuilt: of pack "
            f"{need.pack.hex()[:8]} {there} shares are left, and it takes {need.needed}"
        )

    def _there(self, need: Need) -> int:
        return sum(self._holders.get(name, 0) > 0 for name in need.shares)

    def _check_offer(self, computer: Computer) -> None:
        if computer.parts is None:
            return
        store = computer.parts.store
        if store.used_bytes > store.limit_bytes:
            raise Violation(
                f"{computer} holds {store.used_bytes} bytes and offers {store.limit_bytes}"
            )

    def _check_sum(self, computer: Computer) -> None:
        if computer.parts is None:
            return
        store, held = computer.parts.store, computer.disk.home / "held"
        layout = Layout(held)
        real = sum(map(size_below, [*layout.owners(), layout.trash]))
        if real != store.used_bytes:
            raise Violation(f"{computer} holds {real} bytes and believes {store.used_bytes}")

    def _check_fair(self, owner: MemberId) -> None:
        taken = sum(f.total for (_, whose), f in self._folders.items() if whose == owner)
        offer = self._computers[owner].offer_bytes
        if taken > offer:
            raise Violation(f"{self._name(owner)} takes {taken} bytes and offers {offer}")

    def _name(self, member: MemberId) -> str:
        return self._computers[member].name if member in self._computers else member.hex()[:8]


def _sizes(folder: Path) -> dict[bytes, int]:
    """Shares below a folder, in the order of their names."""
    found: dict[bytes, int] = {}
    for part in _listed(folder):
        with os.scandir(folder / part) as entries:
            for entry in entries:
                found[bytes.fromhex(entry.name)] = entry.stat().st_size
    return dict(sorted(found.items()))


def _listed(folder: Path) -> Iterable[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def _check_bytes(folder: Path, name: bytes, holder: str) -> None:
    text = name.hex()
    data = (folder / text[:2] / text).read_bytes()
    try:
        hasher = ShareHasher(data[:SHARE_HEADER_BYTES])
        hasher.update(data[SHARE_HEADER_BYTES:])
        found = hasher.finish()
    except FormatError:
        found = None
    if found != name:
        raise Violation(f"a share on the disk of {holder} does not have its name: {text[:12]}")
