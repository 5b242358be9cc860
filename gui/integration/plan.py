"""What is installed, as plain values: each file manager's module says which files, with what.

A `Piece` is a file that is Covey's own, whole. A `Shared` file is the person's: Covey's entries are
put into it and taken out of it again, and everything else stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

BACK_UP, STOP = "Back up with Covey", "Stop backing up"
BACK_UP_HINT = "Keep it safe with your friends, from the next night on"
STOP_HINT = "What earlier nights have stays"
ICON = "covey"


@dataclass(frozen=True, slots=True)
class Command:
    """How Covey is started: a program by its absolute path, and what always comes first."""

    words: tuple[str, ...]

    def to(self, *verb: str) -> tuple[str, ...]:
        """The whole command line of a verb."""
        return (*self.words, *verb)

    def chosen(self, key: str) -> tuple[str, ...]:
        """The command line of a menu's entry; the selected paths come behind it."""
        return self.to("picked", key)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a context menu."""

    key: str
    name: str
    hint: str
    icon: str


ENTRIES = (
    Entry("mark", BACK_UP, BACK_UP_HINT, ICON),
    Entry("unmark", STOP, STOP_HINT, "list-remove"),
)
"""The keys are what `covey picked` is asked to do."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a person's files lie; by the XDG base directories where the system has them."""

    home: Path
    config: Path
    data: Path
    system_config: Path = Path("/etc/xdg")

    @classmethod
    def of(cls, home: Path, environment: Mapping[str, str]) -> Places:
        """From the environment; a variable that is empty or relative does not count."""

        def place(name: str, otherwise: Path) -> Path:
            named = Path(environment.get(name, ""))
            return named if named.is_absolute() else otherwise

        system = environment.get("XDG_CONFIG_DIRS", "").split(":")[0]
        return cls(
            home,
            place("XDG_CONFIG_HOME", home / ".config"),
            place("XDG_DATA_HOME", home / ".local" / "share"),
            Path(system) if Path(system).is_absolute() else Path("/etc/xdg"),
        )


@dataclass(frozen=True, slots=True)
class Piece:
    """A file of Covey's own."""

    path: Path
    content: bytes
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Shared:
    """A file of the person's with entries of Covey's in it.

    `add` makes the new content from the old; `begin` is where the old comes from while the person
    has none of their own. `take` gives the content without Covey's entries. Both raise ValueError
    for a file that they do not understand, which is then left alone.
    """

    path: Path
    begin: Path
    add: Callable[[bytes | None], bytes]
    take: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link of Covey's own."""

    path: Path
    target: str


Each = Piece | Shared | Link


@dataclass(frozen=True, slots=True)
class Part:
    """What belongs together: one file manager, or the login."""

    name: str
    title: str
    pieces: tuple[Each, ...]
    tried: bool = True
    """False where nobody has seen it work yet; the documentation says so too."""
    after: tuple[tuple[str, ...], ...] = ()
    """Commands that make the system notice; run after the files are there, where they exist."""
    after_removal: tuple[tuple[str, ...], ...] = ()
    folders: tuple[Path, ...] = ()
    """Folders that are Covey's own, the inner ones first; they go with the files."""
