"""The restore drill: some files of the newest snapshot are really restored, and compared.

A backup that was never restored is a hope. So every seven observed days, at the end of a night,
a few files come back through the very path that a restore takes, to a folder of their own in the
member's home, are compared by hash with the files on this computer where those are unchanged, and
go away again. What came of it stands in `covey status`.

Files are found by walking down from the marks by lot, folder by folder, so that only the listings
on the way are fetched; in a folder, half of the draws go by size, so that big and small occur.

Days are observed ones (`peer.holding.observed`): a clock that jumps a year brings a drill one day
nearer at most.
"""

from __future__ import annotations

import hashlib
import os
import random
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from peer.catalog import Catalog, SnapshotRow
from peer.holding.observed import ObservedTime
from peer.member import Emit, Member
from peer.restore.browse import Browser
from peer.restore.job import RestoreJob, new_fetcher, remembered, scratch_folder
from peer.service import Answer, Event, Problem, done
from peer.upkeep.findings import count

FILES_MAX = 20
BYTES_MAX = 64 << 20
"""A drill costs about as much as a small night."""
WALKS_MAX = 100
"""Ways down that are tried for those files; some end in an empty folder or at too large a file."""
EVERY_DAYS = 7
AGAIN_DAYS = 1
"""After a drill that failed: friends may be back, and a warning must not outlive its reason."""
NAMED_MAX = 10
"""Files that are named in what is kept."""
HASH_BYTES = 1 << 20

_KEY = "drill"


class DrillResult(msgspec.Struct, frozen=True):
    """How the last drill ended. `day` is an observed day, `time_ns` what the clock said.

    `files` and `bytes` came back; `compared` of the files were unchanged here and so could be
    compared. `different` and `lost` count all, and name the first few. `failed` says why nothing
    could be tried.
    """

    time_ns: int
    day: int
    files: int = 0
    bytes: int = 0
    compared: int = 0
    different: int = 0
    different_paths: tuple[str, ...] = ()
    lost: int = 0
    lost_paths: tuple[str, ...] = ()
    friends: dict[str, int] = {}
    failed: str = ""

    @property
    def ok(self) -> bool:
        """Whether all that was tried came back as it was."""
        return not (self.failed or self.lost or self.different)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A file of the snapshot."""

    path: str
    size: int
    mtime_ns: int


def last_drill(catalog: Catalog) -> DrillResult | None:
    """What is kept of the last drill; None before the first."""
    data = catalog.get_meta(_KEY)
    if data is None:
        return None
    try:
        return msgspec.json.decode(data, type=DrillResult)
    except msgspec.MsgspecError:
        return None


def is_due(member: Member) -> bool:
    """Whether the last drill, or the first look, is long enough ago. Blocks."""
    last, today = last_drill(member.catalog), _today(member)
    if last is None:
        return today >= EVERY_DAYS
    return today - last.day >= (EVERY_DAYS if last.ok else AGAIN_DAYS)


def _today(member: Member) -> int:
    """The observed day, as of this look. What passed since the last look counts a day at most."""
    return ObservedTime(
        member.home / "observed",
        wall_s=lambda: member.wall_clock() / 1e9,
        monotonic_s=lambda: 0.0,  # a look takes no time
    ).day


async def drill_after(night: Event, member: Member, emit: Emit, *, seed: int) -> Event:
    """The end of a night, with a drill if one is due. A night that is safe stays so."""
    if not night["ok"] or not await member.run_blocking(is_due, member):
        return night
    snapshots = await member.run_blocking(member.catalog.snapshots)
    result = await Drill(member, snapshots[-1], emit, seed=seed).run()
    return done(
        ok=True,
        message=f"{night['message']} {sentence(result)}",
        next_step=next_step(result) or night["next_step"],
        summary=night["summary"] | {"drill": as_answer(result)},
    )


class Drill:
    """One drill. Use `run` once."""

    def __init__(self, member: Member, snapshot: SnapshotRow, emit: Emit, *, seed: int) -> None:
        """`seed` draws the files."""
        self._m, self._snapshot, self._emit = member, snapshot, emit
        self._chance = random.Random(seed)

    async def run(self) -> DrillResult:
        """Restore, compare, tidy up, and keep the result."""
        time_ns = self._m.wall_clock()
        day = await self._m.run_blocking(_today, self._m)
        try:
            result = await self._try(time_ns, day)
        except Problem as problem:
            result = DrillResult(time_ns, day, failed=_legible(problem.text))
        except OSError as error:
            result = DrillResult(time_ns, day, failed=f"{error.strerror}.")
        await self._m.run_blocking(self._m.catalog.set_meta, _KEY, msgspec.json.encode(result))
        return result

    async def _try(self, time_ns: int, day: int) -> DrillResult:
        chosen = await self._choose()
        paths = [file.path for file in chosen]
        async with scratch_folder(self._m) as target:
            job = RestoreJob(self._m, self._snapshot, str(target), paths, "always", self._tell)
            friends = (await job.run())["summary"]["friends"] if chosen else {}
            outcome = await self._m.run_blocking(_compare, target, chosen)
        return DrillResult(
            time_ns=time_ns,
            day=day,
            files=outcome.files,
            bytes=outcome.bytes,
            compared=outcome.compared,
            different=len(outcome.different),
            different_paths=_first(outcome.different),
            lost=len(outcome.lost),
            lost_paths=_first(outcome.lost),
            friends=dict(friends),
        )

    def _tell(self, event: Event) -> None:
        """How far it is. What is lost stands in the result, not in notes of a night."""
        if event["event"] == "progress":
            self._emit(event | {"stage": "drill"})

    # --- choosing ---------------------------------------------------------------------------

    async def _choose(self) -> list[_Chosen]:
        """Up to `FILES_MAX` files that together have at most `BYTES_MAX`. Raises Problem."""
        chosen: dict[str, _Chosen] = {}
        room = BYTES_MAX
        async with scratch_folder(self._m) as scratch:
            where = await self._m.run_blocking(remembered, self._m)
            browser = Browser(self._m, new_fetcher(self._m, scratch, where), scratch)
            for _ in range(min(WALKS_MAX, 5 * self._snapshot.files)):
                if len(chosen) == FILES_MAX:
                    break
                file = await self._walk_down(browser)
                if file is not None and file.path not in chosen and file.size <= room:
                    chosen[file.path] = file
                    room -= file.size
        return list(chosen.values())

    async def _walk_down(self, browser: Browser) -> _Chosen | None:
        path = ""
        while True:
            entries = await browser.ls(self._snapshot, path)
            files = [e for e in entries if e["kind"] == "file" and e["path"] != path]
            folders = [e for e in entries if e["kind"] == "folder"]
            if not files and not folders:
                return None
            if self._chance.randrange(len(files) + len(folders)) < len(files):
                picked = self._pick(files)
                return _Chosen(picked["path"], picked["size"], picked["mtime_ns"])
            path = self._chance.choice(folders)["path"]

    def _pick(self, files: Sequence[Answer]) -> Answer:
        fitting = [file for file in files if file["size"] <= BYTES_MAX] or files
        if self._chance.random() < 0.5:
            return self._chance.choice(fitting)
        return self._chance.choices(fitting, [file["size"] + 1 for file in fitting])[0]


# --- comparing ------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Outcome:
    files: int = 0
    bytes: int = 0
    compared: int = 0
    different: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def _compare(target: Path, files: Sequence[_Chosen]) -> _Outcome:
    """Which files came back, and which of them are other than here. Blocks."""
    outcome = _Outcome()
    for file in files:
        restored = Path(f"{target}{file.path}")
        try:
            size = restored.lstat().st_size
        except OSError:
            outcome.lost.append(file.path)
            continue
        outcome.files += 1
        outcome.bytes += size
        here = _digest_of_unchanged(file)
        # One that changed here since, or is not here, is not compared: its chunks have their ids.
        outcome.compared += here is not None
        if size != file.size or here not in (None, _digest(restored)):
            outcome.different.append(file.path)
    return outcome


def _digest_of_unchanged(file: _Chosen) -> bytes | None:
    """The hash of the file on this computer if it is what the snapshot saw; else None."""
    try:
        before = os.lstat(file.path)
        if not stat.S_ISREG(before.st_mode) or not _is_same(before, file):
            return None
        digest = _digest(Path(file.path))
        return digest if _is_same(os.lstat(file.path), file) else None
    except OSError:
        return None


def _is_same(found: os.stat_result, file: _Chosen) -> bool:
    return (found.st_size, found.st_mtime_ns) == (file.size, file.mtime_ns)


def _digest(path: Path) -> bytes:
    hasher = hashlib.blake2b(digest_size=32)
    with path.open("rb") as opened:
        while data := opened.read(HASH_BYTES):
            hasher.update(data)
    return hasher.digest()


def _first(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(_legible(path) for path in paths[:NAMED_MAX])


def _legible(text: str) -> str:
    """Bytes of a name that are not UTF-8 as escapes: what is kept is only ever shown."""
    return text.encode("utf-8", "backslashreplace").decode()


# --- telling --------------------------------------------------------------------------------------


def as_answer(result: DrillResult | None) -> Answer | None:
    """For status and --json."""
    if result is None:
        return None
    facts: Answer = msgspec.to_builtins(result)
    return facts | {"ok": result.ok, "sentence": sentence(result)}


def sentence(result: DrillResult) -> str:
    """What came of it, in one sentence."""
    if result.failed:
        return f"The restore drill could not be done: {result.failed}"
    if result.lost:
        tried = count(result.lost + result.files, "file")
        return (
            f"The restore drill could not bring back {result.lost:,} of {tried}: "
            f"{_named(result.lost_paths, result.lost)}."
        )
    if result.different:
        return (
            f"The restore drill brought back {count(result.different, 'file')} other than here: "
            f"{_named(result.different_paths, result.different)}."
        )
    if not result.files:
        return "The restore drill found no file to restore."
    return (
        f"The restore drill brought back {count(result.files, 'file')}; {result.compared:,} could "
        "be compared and are the same."
    )


def next_step(result: DrillResult) -> str:
    """What a person should do about it; empty when all is well."""
    if result.failed or result.lost:
        return "See what is missing, when most friends are online: covey check --read-data"
    if result.different:
        return (
            "These files changed without a trace on this computer, or their backup is not what "
            "they were: compare them with what `covey restore` brings back."
        )
    return ""


def warning(result: DrillResult | None) -> list[str]:
    """What `covey status` warns of: nothing, or what went wrong and what to do."""
    return [] if result is None or result.ok else [f"{sentence(result)} {next_step(result)}"]


def told(result: DrillResult) -> Event:
    """The event that ends `covey check --drill`."""
    return done(
        ok=result.ok,
        message=sentence(result),
        next_step=next_step(result),
        summary={"drill": as_answer(result)},
    )


def _named(paths: Sequence[str], count: int) -> str:
    more = f" and {count - 3:,} more" if count > 3 else ""
    return ", ".join(paths[:3]) + more
