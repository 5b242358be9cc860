"""Writes what the parts say into a person's folders, and takes it away again.

Every file is replaced whole, by a rename, so that a file manager never reads half of one. Doing it
twice changes nothing. What is the person's stays: a file of theirs that cannot be understood is
left alone and told, links of theirs are followed, and a file that only Covey made goes as well.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gui.integration.plan import Each, Link, Part, Piece, Shared

COMMAND_S = 20.0
"""How long a command that makes the system notice may take."""


Run = Callable[[Sequence[str]], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a part: how many files were written or removed, and what went wrong."""

    part: Part
    changed: int
    problems: tuple[str, ...] = ()


def install(parts: Iterable[Part], run: Run | None = None) -> list[Outcome]:
    """Write all of it. `run` runs what makes the system notice."""
    return [_each(part, _put, part.after, run or run_command) for part in parts]


def remove(parts: Iterable[Part], run: Run | None = None) -> list[Outcome]:
    """Take all of it away."""
    outcomes = []
    for part in parts:
        outcomes.append(_each(part, _take, part.after_removal, run or run_command))
        for folder in part.folders:
            with contextlib.suppress(OSError):  # not there, or the person put something into it
                folder.rmdir()
    return outcomes


def installed(part: Part) -> bool:
    """Whether all of it is there, just as it would be written now."""
    return all(_is_there(each) for each in part.pieces)


def _each(
    part: Part, do: Callable[[Each], bool], after: Sequence[Sequence[str]], run: Run
) -> Outcome:
    changed, problems = 0, []
    for each in part.pieces:
        try:
            changed += do(each)
        except OSError as error:
            problems.append(f"{each.path}: {(error.strerror or 'unusable').lower()}")
        except ValueError as error:
            problems.append(f"{each.path} was left alone: {error}")
    if changed:
        for command in after:
            run(command)
    return Outcome(part, changed, tuple(problems))


def _put(each: Each) -> bool:
    if _is_there(each):
        return False
    match each:
        case Link(path, target):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.symlink_to(target)
        case Piece(path, content, executable):
            _write(path, content, 0o755 if executable else 0o644)
        case Shared(path, begin, add):
            old = _read(path)
            _write(path.resolve(), add(_read(begin) if old is None else old), _mode(path))
    return True


def _take(each: Each) -> bool:
    if not os.path.lexists(each.path):
        return False
    if not isinstance(each, Shared):
        each.path.unlink()
        return True
    old = each.path.read_bytes()
    rest = each.take(old)
    if rest == old:
        return False
    begin = _read(each.begin) if each.begin != each.path else None
    if rest == each.take(each.add(begin)):
        each.path.unlink()  # the person has never had one
    else:
        _write(each.path.resolve(), rest, _mode(each.path))
    return True


def _is_there(each: Each) -> bool:
    match each:
        case Link(path, target):
            return path.is_symlink() and str(path.readlink()) == target
        case Piece(path, content, executable):
            return _read(path) == content and (not executable or os.access(path, os.X_OK))
        case Shared(path, _, add):
            old = _read(path)
            return old is not None and add(old) == old


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode & 0o7777
    except FileNotFoundError:
        return 0o644


def _write(path: Path, content: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(prefix=".covey-", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def run_command(command: Sequence[str]) -> None:
    """As well as it goes: what these make the system notice it notices at the next login too."""
    program = shutil.which(command[0])
    if program is None:
        return
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_S,
            check=False,
        )
