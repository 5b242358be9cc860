"""One death or failure: a member and its friends after some nights, what then goes on, what happens
to it at which storage call, and what must be true afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from netsim.world.clock import run_at_once
from peer.backup.night import Night
from peer.backup.settings import change_keep
from peer.catalog import Catalog, SnapshotRow
from peer.member import Emit, Member
from peer.restore.job import RestoreJob
from peer.service import Event, Problem, done
from peer.upkeep.partings import forget_holder
from peer.upkeep.rebalance import rebalance
from peer.upkeep.repair import repair
from peer.upkeep.retention import Keep
from signaling.messages import MemberId
from tests.support.crash_world import DAY_NS, FIRST_NS, CrashGroup
from tests.support.faults import Fault, Plan, watching

FRIENDS = 4
PACK_BYTES = 40 << 10
KEEP = Keep(daily=3, weekly=0, monthly=0, yearly=0)
NIGHTS = 7
NO_PROCESS = 1 << 30
"""The process that dies has a number that no living one can have."""

Tree = dict[str, bytes]


# --- what is backed up ----------------------------------------------------------------------------


def tree_of(night: int) -> Tree:
    """What the folder holds on a night: most days touch a part of it, some files come and go."""
    tree: Tree = {}
    for number in range(16):
        version = night if number % 4 == 0 else night // 3 if number % 4 == 1 else number % 2
        if (number + night) % 11 == 0:
            continue
        size = 3_000 + 2_500 * number
        tree[f"folder {number % 3}/file {number}"] = random.Random(f"{number} {version}").randbytes(
            size
        )
    tree["folder 0/the same again"] = tree.get("folder 1/file 4", b"")
    tree["empty"] = b""
    return tree


def write_tree(folder: Path, tree: Tree) -> None:
    """Make the folder hold exactly this."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and str(path.relative_to(folder)) not in tree:
            path.unlink()
    for name, data in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != data:
            path.write_bytes(data)


def read_tree(folder: Path) -> Tree:
    """What a folder holds."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# --- states to begin from -------------------------------------------------------------------------


@dataclass
class Bases:
    """A member after each of some nights, to begin from; and what its nights and restores cost."""

    folder: Path
    files: Path
    counts: dict[str, int] = field(default_factory=dict)

    def after(self, night: int) -> Path:
        """The state folder of the group after that night."""
        return self.folder / f"after {night}"


def make_bases(folder: Path) -> Iterator[Bases]:
    """Live through some nights, and count what the next one does when nothing happens to it."""
    made = Bases(folder, folder / "files")
    with watching(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("peer.backup.night.target_for", lambda needed: PACK_BYTES)

        async def live() -> None:
            group = CrashGroup(folder / "group", FRIENDS, seed="base", now_ns=FIRST_NS)
            made.files.mkdir()
            group.mark(made.files)
            change_keep(group.member.catalog, KEEP)
            for night in range(NIGHTS):
                write_tree(made.files, tree_of(night))
                group.now_ns = FIRST_NS + night * DAY_NS
                event = await Night(group.member, lambda event: None).run()
                assert succeeded(event), event
                group.member.catalog._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                shutil.copytree(folder / "group", made.after(night))
            await group.close()

        run_at_once(live())
        for scene in SCENES:
            made.counts[scene] = _count_calls(made, scene)
        yield made


def succeeded(event: Event | None) -> bool:
    """Whether a job ended well."""
    return event is not None and event["ok"] is True


# --- one point ------------------------------------------------------------------------------------

SCENES = {
    "first nights": 1,
    "thinning": 3,
    "compaction": 4,
    "adoption": 5,
    "restore": 3,
    "repair": 3,
    "moving": 3,
}
"""What goes on -> the night after which it begins."""
CARE: dict[str, Callable[[Member, Emit], Awaitable[object]]] = {
    "repair": repair,
    "moving": rebalance,
}
"""What is done beside nights and restores."""
HAPPENINGS = ("stop", "stop", "power", "full", "io error", "link", "friend stops")
FRIEND_CALLS = 60
"""About as many storage calls as a friend makes in a night."""


class Point:
    """Use `play` once. All is chosen by the seed, but for what is given."""

    def __init__(
        self,
        seed: int,
        bases: Bases,
        folder: Path,
        *,
        scene: str | None = None,
        plan: Plan | None = None,
    ) -> None:
        self.seed, self._bases, self._folder = seed, bases, folder
        self._chance = random.Random(seed)
        self.scene = self._chance.choice(sorted(SCENES)) if scene is None else scene
        self.happening = self._chance.choice(HAPPENINGS)
        self.night = SCENES[self.scene]
        self.group_folder = folder / "group"
        self.home, self.target = self.group_folder / "owner", folder / "target"
        self._starts = 0
        self._trees = {FIRST_NS + n * DAY_NS: tree_of(n) for n in range(self.night + 3)}
        self.errors: list[BaseException] = []
        if plan is not None:
            self.happening = plan.fault.value
            plan.roots, plan.frozen = (self.home, self.target), folder / "frozen"
        self.plan = self._plan() if plan is None else plan

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.scene}, {self.happening}, {self.plan.happened}"

    def play(self) -> None:
        """Raises AssertionError when anything is lost or left over."""
        self.prepare()
        run_at_once(self._until_it_happens())
        if self.plan.dead:
            assert self.plan.frozen is not None
            shutil.rmtree(self.home)
            self.plan.frozen.rename(self.home)
        if self._chance.random() < 0.5:
            write_tree(self._bases.files, tree_of(self.night + 2))
        else:
            self._trees[FIRST_NS + (self.night + 2) * DAY_NS] = tree_of(self.night + 1)
        with watching():
            run_at_once(self._afterwards())

    def prepare(self) -> None:
        """The group as it was before tonight, and what there is to back up tonight."""
        shutil.copytree(self._bases.after(self.night), self.group_folder)
        write_tree(self._bases.files, tree_of(self.night + 1))
        if self.scene == "repair":
            self._lose_a_friends_disk()

    def _lose_a_friends_disk(self) -> None:
        shutil.rmtree(self.group_folder / f"friend {FRIENDS - 1}")
        catalog = Catalog(self.home / "catalog.sqlite")
        assert forget_holder(catalog, MemberId(bytes([FRIENDS]) * 32))
        catalog.close()

    def start(self) -> CrashGroup:
        """The member starts, on a new day."""
        self._starts += 1
        now_ns = FIRST_NS + (self.night + self._starts) * DAY_NS
        group = CrashGroup(
            self.group_folder, FRIENDS, seed=f"{self.seed} {self._starts}", now_ns=now_ns
        )
        if self.scene == "moving":
            group.add_friend(FRIENDS)  # who joined today
        return group

    def _plan(self) -> Plan:
        """Who dies or fails, how, and when."""
        plan = Plan(
            (self.home, self.target),
            at=self._chance.randint(1, self._bases.counts[self.scene]),
            seed=self.seed,
            lasting=self._chance.random() < 0.5,
            frozen=self._folder / "frozen",
        )
        if self.happening == "link":
            plan.at = 0
        elif self.happening == "friend stops":
            plan.roots = (self.group_folder / f"friend {self._chance.randrange(FRIENDS)}",)
            plan.at = self._chance.randint(1, FRIEND_CALLS)
            plan.fault = self._chance.choice((Fault.STOP, Fault.POWER))
        else:
            plan.fault = Fault(self.happening)
        return plan

    # --- until it happens -----------------------------------------------------------------------

    async def _until_it_happens(self) -> None:
        plan = self.plan
        dead = asyncio.Event()
        loop = asyncio.get_running_loop()
        restarts: list[asyncio.Task[None]] = []

        def stop() -> None:
            if self.happening == "friend stops":
                restarts.append(loop.create_task(self._restart(group)))
            else:
                loop.call_soon_threadsafe(dead.set)

        plan.on_stop = stop
        with watching(plan), pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "getpid", lambda: NO_PROCESS)
            group = self.start()
            plan.armed = True
            if self.happening == "link":
                self._plan_cuts(group)
            try:
                await group.until(self.work(group), dead)
            except (Problem, OSError, sqlite3.Error, ExceptionGroup) as error:
                self.errors.append(error)
            if self.happening in ("full", "io error"):
                await self._go_on(group)
            await asyncio.gather(*restarts)
            await group.close()

    async def _go_on(self, group: CrashGroup) -> None:
        """The disk is good again; perhaps the same process makes another night."""
        self.plan.revive()
        if self._chance.random() < 0.5:
            self._later(group)
            event = await Night(group.member, lambda event: None).run()
            assert succeeded(event), f"in the same process: {event}"

    def _later(self, group: CrashGroup) -> None:
        """The clock goes on, and nothing changes."""
        self._trees[group.now_ns + 1] = self._trees[group.now_ns]
        group.now_ns += 1

    def _plan_cuts(self, group: CrashGroup) -> None:
        """Some links break after some bytes."""
        for member in sorted(group.holders):
            if self._chance.random() < 0.5:
                group.cut_after[member] = self._chance.randint(1, 200_000)
        self.plan.happened = f"cut after {list(group.cut_after.values())} bytes"

    async def _restart(self, group: CrashGroup) -> None:
        """A friend died: its links break, and later it starts again on what its disk holds."""
        (folder,) = self.plan.roots
        (holder,) = (holder for holder in group.holders.values() if holder.folder == folder)
        holder.online = False
        for link in holder.links:
            link.cut()
        await asyncio.sleep(self._chance.choice((0.5, 5.0, 100.0)))
        self.plan.revive()
        assert self.plan.frozen is not None
        shutil.rmtree(folder)
        self.plan.frozen.rename(folder)
        group.reopen(holder)
        holder.online = True

    async def work(self, group: CrashGroup) -> Event:
        """What goes on when it happens."""
        if self.scene == "restore":
            return await self._restore(group, group.member.catalog.snapshots()[-1], self.target)
        if self.scene in CARE:
            await CARE[self.scene](group.member, lambda event: None)
            return done(ok=True, message="")
        return await Night(group.member, lambda event: None).run()

    async def _restore(self, group: CrashGroup, row: SnapshotRow, target: Path) -> Event:
        emit: Emit = lambda event: None  # noqa: E731
        return await RestoreJob(group.member, row, str(target), [], "always", emit).run()

    # --- afterwards -----------------------------------------------------------------------------

    async def _afterwards(self) -> None:
        group = self.start()
        await self._all_complete_snapshots_are_there(group)
        if self.scene == "restore":
            await self._the_restore_is_completed(group)
        elif self.scene in CARE:
            await self.work(group)
        event = await Night(group.member, lambda event: None).run()
        if self.happening == "power" and "damaged" in event["message"]:
            # The spool is not synced: the night says so, and the next one makes it good.
            self._later(group)
            event = await Night(group.member, lambda event: None).run()
        assert succeeded(event), event
        if self.scene in CARE:
            await self.work(group)  # a power cut may have spoilt the spool's copy
        assert listed(group)[-1].time_ns == group.now_ns
        await self._all_complete_snapshots_are_there(group)
        nothing_is_left_over(group)
        await group.close()

    async def _all_complete_snapshots_are_there(self, group: CrashGroup) -> None:
        snapshots = listed(group)
        assert len(snapshots) >= min(KEEP.daily, self.night + 1)
        for number, row in enumerate(snapshots):
            target = self._folder / f"back {number}"
            event = await self._restore(group, row, target)
            assert succeeded(event), event
            assert read_tree(Path(f"{target}{self._bases.files}")) == self._trees[row.time_ns]
            shutil.rmtree(target)

    async def _the_restore_is_completed(self, group: CrashGroup) -> None:
        """The same restore once more; nothing of the broken one is left."""
        time_ns = FIRST_NS + self.night * DAY_NS
        (row,) = (row for row in listed(group) if row.time_ns == time_ns)
        assert succeeded(await self._restore(group, row, self.target))
        there = Path(f"{self.target}{self._bases.files}")
        assert read_tree(there) == self._trees[time_ns]
        files = {path for path in self.target.rglob("*") if path.is_file()}
        assert all(path.is_relative_to(there) for path in files)


def listed(group: CrashGroup) -> list[SnapshotRow]:
    """What the root record calls complete."""
    record = group.member.read_root()
    assert record is not None
    return [SnapshotRow(s.id, s.time_ns, s.files, s.bytes) for s in record.snapshots]


def nothing_is_left_over(group: CrashGroup) -> None:
    """On this computer and at friends is what the catalog lists, all of it and nothing else."""
    member = group.member
    known = {"catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm", "root", "spool"}
    assert set(os.listdir(member.home)) - known == set()
    assert os.listdir(member.spool) == []
    assert member.catalog.unsafe_packs() == []
    expected: dict[bytes, set[str]] = {friend: set() for friend in group.holders}
    for row in member.catalog.packs():
        places = member.catalog.placements(row.pack)
        assert len(places) == row.total
        for number, friend in places.items():
            expected[friend].add(row.shares[number].hex())
    for friend, holder in group.holders.items():
        assert {path.name for path in holder.share_files()} == expected[friend]
        assert list(holder.folder.rglob(".*.new")) == []
        begun = {path.name.split(".")[0] for path in holder.folder.glob("*/partial/*")}
        assert not begun & expected[friend]  # others go after seven observed days
    with contextlib.closing(sqlite3.connect(member.catalog_path)) as database:
        for rows in ("contents WHERE", "placements WHERE", "chunks WHERE pack<>0 AND"):
            orphans = f"SELECT count(*) FROM {rows} pack NOT IN (SELECT pack FROM packs)"
            assert database.execute(orphans).fetchone() == (0,), orphans
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _count_calls(bases: Bases, scene: str) -> int:
    folder = bases.folder / scene
    folder.mkdir()
    plan = Plan(())
    point = Point(0, bases, folder, scene=scene, plan=plan)

    async def live() -> None:
        point.prepare()
        with watching(plan):
            group = point.start()
            plan.armed = True
            assert succeeded(await point.work(group))
            await group.close()

    run_at_once(live())
    return plan.calls
