"""Give a restored file, folder or link its owner, attributes, mode and times.

What cannot be set - a stick with FAT knows no owners, another system no attributes - is told and
never costs the file itself. The bits that let a program run as its owner are set only when the
owner was, as `tar` does: otherwise they would mean somebody else.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable

from chunking.formats import UINT32_MAX, Entry
from peer.files.places import DescriptorFolder, Folder, Handle

Tell = Callable[[str], None]

PRIVATE_FILE = 0o600

_HAS_XATTRS = hasattr(os, "setxattr")
_LINKS_HAVE_TIMES = os.utime in os.supports_follow_symlinks
_LINKS_HAVE_OWNERS = hasattr(os, "chown") and os.chown in os.supports_follow_symlinks


def is_root() -> bool:
    """Whether this process may give files to others."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def reason(error: Exception) -> str:
    """Why something failed, as a part of a sentence."""
    text = error.strerror if isinstance(error, OSError) else str(error)
    return (text or "it cannot be written").lower()


class Dresser:
    """Sets metadata as far as this process may. `chown` says whether to try to set owners."""

    def __init__(self, *, chown: bool) -> None:
        self._chown = chown
        self._user = os.geteuid() if hasattr(os, "geteuid") else -1
        self._group = os.getegid() if hasattr(os, "getegid") else -1
        self._groups = frozenset(os.getgroups()) if hasattr(os, "getgroups") else frozenset()

    def dress(self, handle: Handle, entry: Entry, tell: Tell) -> None:
        """Everything for a file or folder, in this order: each step would undo those after it.

        What is right already costs no call.
        """
        there = os.stat(handle)
        mode, owned = self._own(handle, entry, there, tell)
        for name, value in entry.xattrs:
            _set_xattr(handle, name, value, tell)
        if owned or entry.xattrs or stat.S_IMODE(there.st_mode) != mode:
            try:
                os.chmod(handle, mode)
            except OSError as error:
                tell(f"its mode was not set: {reason(error)}")
        try:
            os.utime(handle, ns=(entry.mtime_ns, entry.mtime_ns))
        except (OSError, OverflowError) as error:
            tell(f"its time was not set: {reason(error)}")

    def is_dressed(self, fd: int, there: os.stat_result, entry: Entry) -> bool:
        """Whether `dress` would change nothing of this file, whose stat is `there`."""
        return (
            there.st_mtime_ns == entry.mtime_ns
            and stat.S_IMODE(there.st_mode) == entry.mode
            and (not self._chown or (there.st_uid, there.st_gid) == (entry.uid, entry.gid))
            and _xattrs(fd) == entry.xattrs
        )

    def first_mode(self, entry: Entry) -> int:
        """The mode to make a file with: the one it is to have, if it is to be this user's.

        A file of somebody else is nobody's to read until it has its owner.
        """
        ours = entry.uid == self._user and entry.gid == self._group
        return entry.mode & 0o777 if ours else PRIVATE_FILE

    def dress_symlink(self, folder: Folder, name: bytes, entry: Entry, tell: Tell) -> None:
        """Everything for a symbolic link, which is not followed."""
        if not isinstance(folder, DescriptorFolder):
            return
        fd = folder.fd
        if self._chown and _LINKS_HAVE_OWNERS:
            try:
                _check_owner(entry)
                os.chown(name, entry.uid, entry.gid, dir_fd=fd, follow_symlinks=False)
            except OSError as error:
                tell(f"its owner was not set: {reason(error)}")
        for attribute, value in entry.xattrs:
            _set_xattr(b"/proc/self/fd/%d/%s" % (fd, name), attribute, value, tell, follow=False)
        if _LINKS_HAVE_TIMES:
            times = (entry.mtime_ns, entry.mtime_ns)
            try:
                os.utime(name, ns=times, dir_fd=fd, follow_symlinks=False)
            except (OSError, OverflowError) as error:
                tell(f"its time was not set: {reason(error)}")

    def _own(
        self, handle: Handle, entry: Entry, there: os.stat_result, tell: Tell
    ) -> tuple[int, bool]:
        """Set the owner; returns the mode that may be set now, and whether anything was done."""
        plain = entry.mode & ~(stat.S_ISUID | stat.S_ISGID)
        if self._chown:
            if (there.st_uid, there.st_gid) == (entry.uid, entry.gid):
                return entry.mode, False
            try:
                _check_owner(entry)
                os.chown(handle, entry.uid, entry.gid)
            except OSError as error:
                tell(f"its owner was not set: {reason(error)}")
                return plain, True
            return entry.mode, True
        changed = there.st_gid != entry.gid and entry.gid in self._groups
        if changed:
            with contextlib.suppress(OSError):
                os.chown(handle, -1, entry.gid)
        if plain == entry.mode:
            return plain, changed
        there = os.stat(handle)
        own = entry.mode & stat.S_ISUID if there.st_uid == entry.uid else 0
        group = entry.mode & stat.S_ISGID if there.st_gid == entry.gid else 0
        return plain | own | group, changed


def _check_owner(entry: Entry) -> None:
    if UINT32_MAX in (entry.uid, entry.gid):  # to the system, this number means "do not change"
        raise OSError(0, "there is no such owner")


def _set_xattr(
    handle: Handle, name: bytes, value: bytes, tell: Tell, *, follow: bool = True
) -> None:
    shown = name.decode("utf-8", "backslashreplace")
    if not _HAS_XATTRS:
        tell(f"its attribute {shown} was not set: there are none on this system")
        return
    try:
        os.setxattr(handle, name, value, follow_symlinks=follow)
    except (OSError, ValueError) as error:
        tell(f"its attribute {shown} was not set: {reason(error)}")


def _xattrs(fd: int) -> tuple[tuple[bytes, bytes], ...]:
    """What a file has of attributes, as an entry lists them."""
    if not _HAS_XATTRS:
        return ()
    try:
        names = sorted(map(os.fsencode, os.listxattr(fd)))
        return tuple((name, os.getxattr(fd, name)) for name in names)
    except OSError:
        return ()
