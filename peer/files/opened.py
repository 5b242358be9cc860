"""The folders of a checkout that are open, and those that it made.

Most files lie in the folder of the file before them, so the last few folders stay open. Anything
else is reached from the deepest open one above it, one name at a time.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections import OrderedDict

from peer.files.places import Folder, check_name

OPEN_FOLDERS_MAX = 64
WAY_MODE = 0o755
"""The mode of folders that no entry describes: the target, and those on the way to an entry."""

Parts = tuple[bytes, ...]


class OpenFolders:
    """Folders below `root` by their names from there.

    With `replace`, a file or link where a folder must be is removed. With `open_up`, folders that
    deny this user something are opened while the checkout lasts. Links at `followed` are gone
    through, and stay. Raises OSError, UnsafeName.
    """

    def __init__(
        self,
        root: Folder,
        *,
        replace: bool,
        open_up: bool,
        followed: frozenset[Parts] = frozenset(),
    ) -> None:
        self._root, self._replace, self._open_up = root, replace, open_up
        self._followed = followed
        self._open: OrderedDict[Parts, Folder] = OrderedDict()
        self._is_closed = False
        self.modes: dict[Parts, int] = {}
        """Folders that were made or opened up, and the mode they must have in the end."""
        self.made: set[Parts] = set()

    def get(self, parts: Parts, *, make: bool = True) -> Folder:
        """A folder, made if need be. It is open until the next call, or for as long as it is held.

        Every name of `parts` has been checked when this returns.
        """
        assert not self._is_closed, "the checkout is finished"
        folder = self._open.get(parts)
        if folder is not None:
            self._open.move_to_end(parts)
            return folder
        depth = len(parts)
        while depth and parts[:depth] not in self._open:
            depth -= 1
        folder = self._open[parts[:depth]] if depth else self._root
        for end in range(depth + 1, len(parts) + 1):
            folder = self._step(folder, parts[:end], make=make)
        return folder

    def _step(self, parent: Folder, parts: Parts, *, make: bool) -> Folder:
        name = parts[-1]
        check_name(name)
        folder = self._enter(parent, parts) if make else self._open_below(parent, parts)
        self._open[parts] = folder
        if len(self._open) > OPEN_FOLDERS_MAX:
            self._open.popitem(last=False)[1].close()
        return folder

    def _enter(self, parent: Folder, parts: Parts) -> Folder:
        name = parts[-1]
        try:
            folder = self._open_below(parent, parts)
        except FileNotFoundError:
            pass
        except NotADirectoryError:
            if not self._replace or parts in self._followed:
                raise
            parent.unlink(name)
        else:
            if self._open_up:
                self._let_us_in(folder, parts)
            return folder
        parent.make_below(name)
        self.modes[parts] = WAY_MODE
        self.made.add(parts)
        return parent.open_below(name)

    def _open_below(self, parent: Folder, parts: Parts) -> Folder:
        return parent.open_below(parts[-1], follow=parts in self._followed)

    def _let_us_in(self, folder: Folder, parts: Parts) -> None:
        mode = stat.S_IMODE(os.stat(folder.handle).st_mode)
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            with contextlib.suppress(OSError):  # it is another's: writing in it will tell
                os.chmod(folder.handle, mode | stat.S_IRWXU)
                self.modes.setdefault(parts, mode)

    def forget_below(self, parts: Parts) -> None:
        """This folder is gone, with all that was in it."""
        depth = len(parts)
        for known in [p for p in self._open if p[:depth] == parts]:
            self._open.pop(known).close()
        for known in [p for p in self.modes if p[:depth] == parts]:
            del self.modes[known]
            self.made.discard(known)

    def close(self) -> None:
        """Close all of them. May be called again."""
        if not self._is_closed:
            self._is_closed = True
            while self._open:
                self._open.popitem()[1].close()
            self._root.close()
