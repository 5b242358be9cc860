"""A disk that fails, and a process that dies, at the N-th storage call. Deterministic.

While `watching` a plan, every call that changes something below the plan's folders is counted:
files opened for writing, writes, syncs, renames, links, removals, folders made, commits of SQLite.
At call number `at` the plan's fault happens. A process that died changes nothing any more: each
later call fails as well, so that no clean-up runs that a killed process would not have run, and the
first folder is copied as it stands at that moment (`frozen`): what the next process finds.

`POWER` loses what was not synced as well: ends of files, renames, the end of the catalog's WAL.
What a real disk may do beyond that (reorder within a file, lie about a sync) is not modelled.
"""

from __future__ import annotations

import builtins
import contextlib
import enum
import errno
import io
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


class Fault(enum.Enum):
    """What happens at the chosen call."""

    STOP = "stop"
    POWER = "power"
    FULL = "full"
    IO_ERROR = "io error"


class Stopped(BaseException):
    """This process is dead: no `except Exception` may catch it."""


@dataclass
class Plan:
    """Which call fails, how, below which folders. `lasting`: so do all that follow (a full disk
    stays full; files can still be removed)."""

    roots: tuple[Path, ...]
    fault: Fault = Fault.STOP
    at: int = 0
    seed: int = 0
    lasting: bool = False
    loses: str = "files"
    """What a power cut takes of what was not synced: files (their ends, their new names), or
    commits of SQLite."""
    when: Callable[[str, str], bool] = lambda call, path: False
    """Another way to choose the call: by what it is."""
    frozen: Path | None = None
    on_stop: Callable[[], None] = lambda: None
    armed: bool = False
    """Nothing is counted before this is set."""
    calls: int = 0
    dead: bool = False
    happened: str = ""
    unsynced: dict[str, int] = field(default_factory=dict)
    """Files with bytes that were not synced: path -> bytes that were."""
    renames: list[tuple[str, str, bytes | None]] = field(default_factory=list)
    """Renames whose folder was not synced: from, to, what was there before."""
    databases: dict[str, int] = field(default_factory=dict)
    """SQLite files that were committed to, and their times: another one tells of a checkpoint."""

    def covers(self, path: str) -> bool:
        """Whether this plan looks at a path."""
        return any(path == str(root) or path.startswith(f"{root}/") for root in self.roots)

    def before(self, call: str, path: str, torn: Callable[[float], object] | None = None) -> None:
        """Count a call, before it is done. `torn` does a part of it."""
        if self.dead:
            raise Stopped
        if not self.armed:
            return
        self.calls += 1
        takes_room = call not in ("unlink", "rmdir", "fsync")
        chosen = self.calls == self.at or (not self.happened and self.when(call, path))
        again = self.lasting and self.happened and (takes_room or self.fault is Fault.IO_ERROR)
        if not chosen and not again:
            return
        self.happened = self.happened or f"call {self.calls}, {call} {path}: {self.fault.value}"
        if torn is not None:
            torn(random.Random(self.seed).random())
        if self.fault in (Fault.STOP, Fault.POWER):
            self._die()
        code = errno.ENOSPC if self.fault is Fault.FULL and takes_room else errno.EIO
        raise OSError(code, os.strerror(code), path)

    def revive(self) -> None:
        """What was dead may change things again, and nothing more happens to it."""
        self.dead, self.lasting, self.at = False, False, 0

    def committed(self, database: str, *, synced: bool) -> None:
        """SQLite has written to its WAL; as a rule it syncs it only at a checkpoint."""
        wal = f"{database}-wal"
        time_ns = os.stat(database).st_mtime_ns
        if synced or self.databases.setdefault(database, time_ns) != time_ns:
            self.databases[database] = time_ns
            self.unsynced[wal] = os.path.getsize(wal)
        else:
            self.unsynced.setdefault(wal, 0)

    def _die(self) -> None:
        self.dead = True
        if self.frozen is not None:
            root = self.roots[0]
            shutil.copytree(root, self.frozen, symlinks=True)
            if self.fault is Fault.POWER:
                _lose_power(self, root, self.frozen)
        self.on_stop()
        raise Stopped


def _lose_power(plan: Plan, root: Path, copy: Path) -> None:
    """Take from the copy some of what was not synced."""
    chance = random.Random(plan.seed)

    def there(path: str) -> Path:
        return copy / Path(path).relative_to(root)

    for source, target, before in reversed(plan.renames if plan.loses == "files" else []):
        if not Path(target).is_relative_to(root) or chance.random() < 0.5:
            continue
        if there(target).exists():
            os.replace(there(target), there(source))
            plan.unsynced[source] = plan.unsynced.pop(target, 0)
        if before is not None:
            there(target).write_bytes(before)
    for path, synced in plan.unsynced.items():
        if path.endswith("-wal") is not (plan.loses == "commits"):
            continue
        if Path(path).is_relative_to(root) and there(path).is_file():
            size = there(path).stat().st_size
            if size > synced:
                os.truncate(there(path), chance.randint(synced, size))


# --- the calls ----------------------------------------------------------------------------------


@contextlib.contextmanager
def watching(*plans: Plan) -> Iterator[None]:
    """Have these plans see all calls of this process until the end of the block."""
    with pytest.MonkeyPatch.context() as patch:
        _Watch(plans, patch).begin()
        yield


class _Watch:
    """Puts itself between the program and the operating system."""

    def __init__(self, plans: tuple[Plan, ...], patch: pytest.MonkeyPatch) -> None:
        self._plans, self._patch = plans, patch
        self._fsync, self._os_open, self._open = os.fsync, os.open, io.open

    def begin(self) -> None:
        """Until the patches are undone."""
        for name in ("unlink", "remove", "rmdir", "mkdir", "symlink", "truncate", "utime"):
            self._replace(name, self._simple(name))
        for name in ("rename", "replace", "link"):
            self._replace(name, self._moving(name))
        self._replace("fsync", self._sync)
        self._replace("write", self._written)
        self._replace("ftruncate", self._cut)
        self._replace("open", self._opened)
        self._patch.setattr(io, "open", self._file)
        self._patch.setattr(builtins, "open", self._file)
        self._patch.setattr(sqlite3, "connect", self._connect)

    def _replace(self, name: str, function: Callable[..., Any]) -> None:
        real = getattr(os, name)
        self._patch.setattr(os, name, lambda *args, **how: function(real, *args, **how))

    def _plan(self, path: str) -> Plan | None:
        return next((plan for plan in self._plans if plan.covers(path)), None)

    def _simple(self, name: str) -> Callable[..., Any]:
        def call(real: Callable[..., Any], path: Any, *args: Any, **how: Any) -> Any:
            where = _path_of(args[0] if name == "symlink" else path, how.get("dir_fd"))
            plan = self._plan(where)
            if plan is not None:
                plan.before("unlink" if name == "remove" else name, where)
                plan.unsynced.pop(where, None)
            return real(path, *args, **how)

        return call

    def _moving(self, name: str) -> Callable[..., Any]:
        def call(real: Callable[..., Any], source: Any, target: Any, **how: Any) -> Any:
            old = _path_of(source, how.get("src_dir_fd"))
            new = _path_of(target, how.get("dst_dir_fd"))
            plan = self._plan(new)
            if plan is not None:
                plan.before(name, new)
                if name != "link" and plan.fault is Fault.POWER:
                    plan.renames.append((old, new, _content(new)))
                if old in plan.unsynced:
                    plan.unsynced[new] = plan.unsynced.pop(old)
            return real(source, target, **how)

        return call

    def _sync(self, real: Callable[..., Any], fd: int) -> None:
        """Only counted: no test's data outlives this machine's power, and it takes long."""
        where = _path_of(fd, None)
        plan = self._plan(where)
        if plan is not None:
            plan.before("fsync", where)
            plan.unsynced.pop(where, None)
            plan.renames = [r for r in plan.renames if os.path.dirname(r[1]) != where]

    def _written(self, real: Callable[..., Any], fd: int, data: Any) -> int:
        where = _path_of(fd, None)
        plan = self._plan(where)
        if plan is not None:
            self._dirty(plan, where)
            plan.before("write", where, lambda part: real(fd, data[: int(len(data) * part)]))
        return int(real(fd, data))

    def _cut(self, real: Callable[..., Any], fd: int, size: int) -> None:
        where = _path_of(fd, None)
        plan = self._plan(where)
        if plan is not None:
            plan.before("truncate", where)
        real(fd, size)

    def _opened(
        self, real: Callable[..., Any], path: Any, flags: int, *args: Any, **how: Any
    ) -> int:
        where = _path_of(path, how.get("dir_fd"))
        plan = self._plan(where)
        if plan is not None and flags & (os.O_CREAT | os.O_TRUNC):
            plan.before("open", where)
            plan.unsynced.setdefault(where, 0)
        return int(real(path, flags, *args, **how))

    def _file(self, path: Any, mode: str = "r", *args: Any, **how: Any) -> Any:
        where = _path_of(path, None)
        plan = self._plan(where)
        if plan is None or not set(mode) & set("wax+"):
            return self._open(path, mode, *args, **how)
        if not isinstance(path, int):
            plan.before("open", where)
            plan.unsynced.setdefault(where, 0)
        return _WrittenFile(self._open(path, mode, *args, **how), plan, where)

    def _dirty(self, plan: Plan, where: str) -> None:
        if where not in plan.unsynced:
            plan.unsynced[where] = os.path.getsize(where) if os.path.exists(where) else 0

    def _connect(self, path: Any, **how: Any) -> sqlite3.Connection:
        return self._connection(os.path.abspath(path))(path, **how)

    def _connection(self, path: str) -> type[sqlite3.Connection]:
        plan = self._plan(path)

        class Connection(sqlite3.Connection):
            """Counts commits; a dead process's transactions are never committed."""

            is_synced = False

            def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
                if "synchronous=" in statement:
                    self.is_synced = "FULL" in statement
                    statement = "PRAGMA synchronous=OFF"  # as for `fsync`
                if plan is None or not statement.startswith(("COMMIT", "BEGIN", "PRAGMA wal_c")):
                    return super().execute(statement, *values)
                self._before(plan, statement)
                done = super().execute(statement, *values)
                if not statement.startswith("BEGIN"):
                    synced = self.is_synced or statement.startswith("PRAGMA")
                    plan.committed(path, synced=synced)
                return done

            def _before(self, plan: Plan, statement: str) -> None:
                if plan.dead:
                    raise Stopped
                if statement.startswith("BEGIN"):
                    return
                try:
                    plan.before("commit", path)
                except OSError as error:
                    if self.in_transaction:
                        super().execute("ROLLBACK")  # as SQLite does itself
                    full = error.errno == errno.ENOSPC
                    text = "database or disk is full" if full else "disk I/O error"
                    raise sqlite3.OperationalError(text) from error

        return Connection


class _WrittenFile:
    """A file that was opened for writing."""

    def __init__(self, file: Any, plan: Plan, where: str) -> None:
        self._file, self._plan, self._where = file, plan, where

    def write(self, data: Any) -> int:
        self._plan.unsynced.setdefault(self._where, 0)
        self._plan.before(
            "write", self._where, lambda part: self._file.write(data[: int(len(data) * part)])
        )
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> _WrittenFile:
        self._file.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.__exit__(*error)


def _path_of(path: Any, dir_fd: int | None) -> str:
    """The absolute path of what a call works on; of a descriptor, where it leads."""
    if isinstance(path, int):
        try:
            return os.readlink(f"/proc/self/fd/{path}")
        except OSError:
            return ""
    text = os.fsdecode(path)
    if dir_fd is not None and not os.path.isabs(text):
        return os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), text)
    return os.path.abspath(text)


def _content(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return None
